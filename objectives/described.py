"""What something is, in a few words for a message: its type, and of tensors and arrays shape and dtype.

Nothing here imports torch; whatever has a shape and a dtype is described by them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

SHOWN = 4
"""So many entries of a structure are described."""

LONGEST = 60
"""Characters of a value that are shown."""


def described(item: object) -> str:
    """Return what a structure of tensors holds.

    >>> import torch
    >>> described({"ids": torch.zeros(2, 7, dtype=torch.int64), "mask": None}), described((torch.zeros(3), "a"))
    ('{ids: (2, 7) int64, mask: None}', '((3,) float32, str)')
    """
    if item is None:
        return "None"
    if isinstance(item, Mapping):
        parts = [f"{key}: {described(value)}" for key, value in list(item.items())[:SHOWN]]
        return f"{{{_listed(parts, len(item))}}}"
    if isinstance(item, (tuple, list)):
        return f"({_listed([described(part) for part in item[:SHOWN]], len(item))})"
    shape, dtype = getattr(item, "shape", None), getattr(item, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        return f"{tuple(shape)} {str(dtype).removeprefix('torch.')}"
    return named_type(item)


def named_type(item: object) -> str:
    """Return the name of a thing's type: ``the class Net`` of a class, ``a function`` of a function."""
    if isinstance(item, type):
        return f"the class {item.__name__}"
    return type(item).__name__


def a_type(item: object) -> str:
    """Return the name of a thing's type after its article; None is itself.

    >>> a_type(3), a_type("x"), a_type(None)
    ('an int', 'a str', 'None')
    """
    name = type(item).__name__
    return "None" if item is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def shown(value: object) -> str:
    """Return a value as Python writes it, on one line and cut; whatever is long or cannot be written by its type.

    >>> shown("ten"), shown([0.5] * 1000), shown(shown)
    ("'ten'", 'list', 'function shown')
    """
    if isinstance(value, type):
        return named_type(value)
    if getattr(value, "shape", None) is not None and getattr(value, "dtype", None) is not None:
        return f"{type(value).__name__} {described(value)}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"function {value.__qualname__}"[:LONGEST]
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a user's own __repr__ may raise anything
        return type(value).__name__
    return type(value).__name__ if text.startswith("<") or len(text) > 20 * LONGEST else text[:LONGEST]


def counted(count: int, what: str) -> str:
    """Return how many of something: its name gets an s but for one.

    >>> counted(1, "trial"), counted(0, "trial")
    ('1 trial', '0 trials')
    """
    return f"{count} {what}{'s' * (count != 1)}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of a message that names what is most like a misspelt name; nothing where nothing is.

    >>> did_you_mean("digitz", ["digits", "minilm"]), did_you_mean("vit", ["digits", "minilm"])
    (': did you mean digits?', '')
    """
    near = difflib.get_close_matches(name, list(names), 1)
    return f": did you mean {near[0]}?" if near else ""


def _listed(parts: list[str], count: int) -> str:
    return ", ".join([*parts, *(["…"] if count > len(parts) else [])])
