"""Options written once: a dataclass holds their types, defaults and help; functions and commands read them there.

A function of an object of such a class becomes one that is called with the class's fields:

>>> @dataclass(frozen=True, kw_only=True)
... class Loudness:
...     volume: int = option(3, help="How loud, from 0 to 10.")
>>> @dataclass(frozen=True)
... class Arguments(Loudness):
...     text: str
>>> @called_with(Arguments)
... def shout(asked: Arguments) -> str:
...     '''Shout a text.'''
...     return asked.text + "!" * asked.volume
>>> shout("hello", volume=1)
'hello!'
>>> str(inspect.signature(shout))
"(text: 'str', *, volume: 'int' = 3) -> 'str'"
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, ParamSpec, Required, TypedDict, TypeVar, Unpack

from ...objectives.boundary import outermost

P = ParamSpec("P")
Arguments = TypeVar("Arguments")
Returned = TypeVar("Returned")


READING = "reading"
"""The entry of a field's metadata that makes it an option."""


@dataclass(frozen=True)
class Reading:
    """How the command line reads an option."""

    help: str
    metavar: str | None = None
    reader: type = str
    """``str``, ``int``, ``float``, ``Path`` or ``bool``; ``list`` for texts that may be given several times."""
    hidden: bool = False
    """Whether the command line leaves it out."""
    example: str = ""
    """What may be given in Python, as it is written there; for docstrings."""
    choices: tuple[str, ...] = ()
    """Names that a shell offers."""


class ReadAs(TypedDict, total=False):
    """The fields of `Reading`, by name."""

    help: Required[str]
    metavar: str | None
    reader: type
    hidden: bool
    example: str
    choices: tuple[str, ...]


def option(default: Any, **read: Unpack[ReadAs]) -> Any:
    """Return a dataclass field of this default that is also an option of the command line: see `Reading`."""
    return field(default=default, metadata=read_as(**read))


def read_as(**read: Unpack[ReadAs]) -> dict[str, Reading]:
    """Return the metadata of a dataclass field that is an option; a field without a default must be given."""
    return {READING: Reading(**read)}


def readings(options: type) -> dict[str, tuple[Any, Reading]]:
    """Return option → its default (`MISSING` where it must be given) and how the command line reads it."""
    return {f.name: (f.default, reading) for f, reading in _options(options) if not reading.hidden}


def called_with(
    arguments: Callable[P, Arguments],
) -> Callable[[Callable[[Arguments], Returned]], Callable[P, Returned]]:
    """Give a function of one arguments object the object's fields as arguments, for type checkers and at run time.

    Args:
        arguments: a dataclass, whose keyword-only fields are made by `option`.
    """

    def decorate(function: Callable[[Arguments], Returned]) -> Callable[P, Returned]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Returned:
            return function(arguments(*args, **kwargs))

        own = inspect.signature(function)
        taken = inspect.signature(arguments).parameters.values()
        call.__signature__ = own.replace(parameters=list(taken))  # pyright: ignore[reportAttributeAccessIssue]
        call.__doc__ = documented(function.__doc__, arguments)
        return outermost(call)

    return decorate


def documented(text: str | None, options: Any) -> str:
    """Return a docstring in which the line ``{options}`` is replaced by a line for every option."""
    lines = [f"{f.name}: {_explained(f, reading)}" for f, reading in _options(options)]
    indent = " " * 8
    listed = "\n".join(textwrap.fill(line, 110, initial_indent=indent, subsequent_indent=indent * 2) for line in lines)
    return (text or "").replace(f"{indent}{{options}}", listed)


def _options(options: Any) -> list[tuple[Field[Any], Reading]]:
    """Return the fields that are options, a class's own before those of its bases."""
    found = [(f, f.metadata[READING]) for f in fields(options) if READING in f.metadata]
    depth = {f.name: n for n, base in enumerate(reversed(options.__mro__)) for f in _own_fields(base)}
    return sorted(found, key=lambda option: -depth[option[0].name])


def _own_fields(options: type) -> list[Field[Any]]:
    own = inspect.get_annotations(options)
    return [f for f in fields(options) if f.name in own] if is_dataclass(options) else []


def _explained(own: Field[Any], reading: Reading) -> str:
    """Return the help as it reads after a colon, with what it is by default and an example.

    >>> from dataclasses import make_dataclass
    >>> named = fields(make_dataclass("Options", [("trials", int, field(default=40))]))[0]
    >>> _explained(named, Reading("How many.", example="100"))
    'how many. Default: 40. Example: ``trials=100``.'
    """
    known = "[default:" in reading.help or own.default in (None, MISSING)
    said = reading.help[0].lower() + reading.help[1:] + ("" if reading.help[-1] in ".]…" else ".")
    default = "" if known else f" Default: {own.default}."
    return said + default + (f" Example: ``{own.name}={reading.example}``." if reading.example else "")
