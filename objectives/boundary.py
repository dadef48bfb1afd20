"""The outside of what a user calls: whatever is raised inside reaches him as a `RankfrontError` of one sentence.

Raised in his own code, the sentence says where and on what; the exception itself is its ``__cause__``. While his code
runs, `in_users_code` notes on a passing exception whose code it is: notes change neither its type nor its message.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from .described import described, did_you_mean
from .errors import RankfrontError
from .memory import exhausted

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

LONGEST = 150
"""Characters of a foreign message that are shown."""

NOTE = "rankfront: raised by "
"""How our notes on an exception begin."""

UNEXPECTED = " (unexpected: its cause, or --debug, shows where)"
"""The end of a sentence on what nobody's code is known to have raised."""

OURS = [str(Path(__file__).parents[1] / room) for room in ("objectives", "search")]
LIBRARIES = ("torch", "numpy", "scipy", "pandas", "optuna", "sqlalchemy", "safetensors", "plotly", "jinja2", "rich")
"""Installed packages whose frames are passed over in the search for the user's."""


@contextlib.contextmanager
def in_users_code(what: str, *given: object) -> Iterator[None]:
    """Note on an exception that passes that it was raised by ``what``, and what that was given."""
    try:
        yield
    except RankfrontError:
        raise
    except Exception as error:
        note_on(error, what, *given)
        raise


def note_on(error: Exception, what: str, *given: object) -> None:
    """Note on an exception that it was raised by ``what``, and what that was given; the first note stays."""
    if raised_by(error) is None and not isinstance(error, RankfrontError):
        on = f", given {' and '.join(map(described, given))}" if given else ""
        error.add_note(f"{NOTE}{what}{on}")


def raised_by(error: BaseException) -> str | None:
    """Return what `note_on` noted: ``the model, given (4, 3) float32``."""
    notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, str) and note.startswith(NOTE)]
    return notes[0].removeprefix(NOTE) if notes else None


def sentence(error: BaseException) -> str:
    """Return an exception's type and message on one line; of a loader's worker the last line.

    >>> sentence(ValueError("bad"))
    'ValueError: bad'
    """
    text = str(error)
    if "Original Traceback (most recent call last)" in text:  # how a DataLoader passes on what a worker raised
        last = text.strip().splitlines()[-1]
        return f"{last[:LONGEST]} (in a DataLoader's worker)"
    message = " ".join(text.split())
    message = message if len(message) <= LONGEST else f"{message[:LONGEST]} …"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def place(error: BaseException) -> str:
    """Return where in the user's code an exception was raised: ``Net.forward, net.py line 12``; else nothing."""
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not _passed_over(frame.f_code.co_filename)
    ]
    if not frames:
        return ""
    own = [found for found in frames if "site-packages" not in found[0].f_code.co_filename]
    frame, line = (own or frames)[-1]
    function = frame.f_code.co_qualname.replace(".<locals>", "").replace("<module>", "the file")
    return f"{function}, {Path(frame.f_code.co_filename).name} line {line}"


def sentence_and_place(error: BaseException) -> str:
    """Return both: ``ValueError: bad (Net.forward, net.py line 12)``."""
    where = place(error)
    return f"{sentence(error)} ({where})" if where else sentence(error)


def told(error: Exception) -> RankfrontError:
    """Return any exception as a `RankfrontError`: who raised it, on what, and where."""
    if isinstance(error, RankfrontError):
        return error
    by = raised_by(error)
    if exhausted(error):
        what = f" of {by}" if by else ""
        return RankfrontError(
            f"memory must suffice, but did not{what}: use smaller batches, or fewer calibration samples"
        )
    if by is not None:
        return RankfrontError(f"{by}{',' if ', given' in by else ''} raised {sentence_and_place(error)}")
    if where := place(error):
        return RankfrontError(f"{where} raised {sentence(error)}")
    return RankfrontError(f"{sentence(error)}{UNEXPECTED}")


def outermost(function: Callable[P, R]) -> Callable[P, R]:
    """Let nothing but a `RankfrontError` leave a function; arguments that it does not take are one, too."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except RankfrontError:
            raise
        except Exception as error:
            if isinstance(error, TypeError) and (wrong := _misfit(function, args, kwargs)):
                raise RankfrontError(wrong) from error
            raise told(error) from error

    return call


def outermost_class(cls: C) -> C:
    """Let nothing but a `RankfrontError` leave the making of an object of this class."""
    cls.__init__ = outermost(cls.__init__)
    return cls


def _misfit(function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    """Return what is wrong with the arguments of a call, nothing if they fit."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
        return ""
    except TypeError as error:
        name = function.__qualname__.removesuffix(".__init__")
        names = [n for n in signature.parameters if n not in ("self", "cls")]
        for unknown in kwargs.keys() - set(names):
            meant = did_you_mean(unknown, names) or f": it takes {', '.join(names)}"[:200]
            return f"{name} takes no argument {unknown!r:.40}{meant}"
        return f"{name}: {error}; it takes {', '.join(names)}"[:280]


def _passed_over(file: str) -> bool:
    path = Path(file)
    if file.startswith("<") or any(map(path.is_relative_to, OURS)):
        return True
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1] in LIBRARIES
    return path.is_relative_to(sysconfig.get_paths()["stdlib"])
