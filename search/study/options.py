"""Options written once: a dataclass holds their types, defaults and help; functions and commands read them there.

A function that takes an options object becomes one that takes the object's fields as keywords:

>>> @dataclass(frozen=True, kw_only=True)
... class Loudness:
...     volume: int = option(3, help="How loud, from 0 to 10.")
>>> @takes(Loudness)
... def shout(text: str, loudness: Loudness) -> str:
...     '''Shout a text.'''
...     return text + "!" * loudness.volume
>>> shout("hello", volume=1)
'hello!'
>>> str(inspect.signature(shout))
"(text: 'str', /, *, volume: 'int' = 3) -> 'str'"
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
Subject = TypeVar("Subject")
Options = TypeVar("Options")
Returned = TypeVar("Returned")

__all__ = ["Reading", "dataclass", "documented", "option", "readings", "takes"]


@dataclass(frozen=True)
class Reading:
    """How the command line reads an option."""

    help: str
    metavar: str | None = None
    reader: type = str
    """``str``, ``int``, ``float``, ``Path`` or ``bool``; ``list`` for texts that may be given several times."""
    hidden: bool = False
    """Whether the command line leaves it out."""


def option(default: Any, *, help: str, metavar: str | None = None, reader: type = str, hidden: bool = False) -> Any:
    """Return a dataclass field of this default that is also an option of the command line: see `Reading`."""
    return field(default=default, metadata={"reading": Reading(help, metavar, reader, hidden)})


def readings(options: type) -> dict[str, tuple[Any, Reading]]:
    """Return option → its default and how the command line reads it, in the order of the fields."""
    return {f.name: (f.default, _reading(f)) for f in fields(options) if not _reading(f).hidden}


def takes(
    options: Callable[P, Options],
) -> Callable[[Callable[[Subject, Options], Returned]], Callable[Concatenate[Subject, P], Returned]]:
    """Give a function of ``(subject, options)`` the options' fields as keywords, for type checkers and at run time.

    Args:
        options: a ``kw_only`` dataclass whose fields are made by `option`.
    """

    def decorate(function: Callable[[Subject, Options], Returned]) -> Callable[Concatenate[Subject, P], Returned]:
        @functools.wraps(function)
        def call(subject: Subject, /, *args: P.args, **kwargs: P.kwargs) -> Returned:
            return function(subject, options(*args, **kwargs))

        own = inspect.signature(function)
        first = next(iter(own.parameters.values())).replace(kind=inspect.Parameter.POSITIONAL_ONLY)
        keywords = inspect.signature(options).parameters.values()
        call.__signature__ = own.replace(parameters=[first, *keywords])  # pyright: ignore[reportAttributeAccessIssue]
        call.__doc__ = documented(function.__doc__, options)
        return call

    return decorate


def documented(text: str | None, options: Any) -> str:
    """Return a docstring in which the line ``{options}`` is replaced by a line for every option."""
    lines = [f"{f.name}: {_sentence(_reading(f).help)}" for f in fields(options)]
    indent = " " * 8
    listed = "\n".join(textwrap.fill(line, 110, initial_indent=indent, subsequent_indent=indent * 2) for line in lines)
    return (text or "").replace(f"{indent}{{options}}", listed)


def _reading(f: Field[Any]) -> Reading:
    return f.metadata["reading"]


def _sentence(help: str) -> str:
    """Return the help as it reads after a colon: ``Upper bounds.`` → ``upper bounds.``."""
    return help[0].lower() + help[1:]
