"""Containers in what data and models give: what they hold, and the same container holding something else.

Containers are mappings (a Hugging Face ``BatchEncoding`` or ``ModelOutput`` too), lists, tuples, named tuples and
dataclasses. What is none (a tensor, a number, a text, a ``PackedSequence``, a graph batch) is a leaf.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from torch.nn.utils.rnn import PackedSequence


def parts_of(item: Any) -> dict[Any, Any] | None:
    """Return what a container holds, by key, field or position; None for a leaf."""
    if isinstance(item, PackedSequence):  # a named tuple whose parts mean nothing one by one
        return None
    if isinstance(item, Mapping):
        return dict(item.items())
    if isinstance(item, tuple | list):
        return dict(zip(getattr(item, "_fields", range(len(item))), item, strict=True))
    if is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in fields(item)}
    return None


def rebuilt(item: Any, values: Sequence[Any]) -> Any:
    """Return a container of the same type as ``item`` with other parts, in the order of `parts_of`.

    A list or tuple may have another number of parts. A mapping that can be neither changed nor made from a dict becomes
    a dict.
    """
    if isinstance(item, Mapping):
        return _mapping(item, dict(zip(item, values, strict=True)))
    if isinstance(item, tuple | list):
        made: Any = type(item)
        return getattr(made, "_make", made)(values)
    copied = copy.copy(item)
    for field, value in zip(fields(item), values, strict=True):
        object.__setattr__(copied, field.name, value)
    return copied


def without(item: Mapping[Any, Any], key: str) -> Mapping[Any, Any]:
    """Return a mapping of the same type without one of its keys."""
    try:
        copied = _copied(item)
        del copied[key]
    except Exception:  # read-only
        return {name: value for name, value in item.items() if name != key}
    return copied


def _mapping(item: Mapping[Any, Any], values: dict[Any, Any]) -> Mapping[Any, Any]:
    if type(item) is dict:
        return values
    try:
        copied = _copied(item)
        for key, value in values.items():
            copied[key] = value
    except Exception:  # read-only, or of a class with rules of its own
        try:
            made: Any = type(item)
            return made(values)
        except Exception:
            return values
    return copied


def _copied(item: Mapping[Any, Any]) -> Any:
    """Return a mapping of the same type with the same values, which can be changed and leaves ``item`` as it is.

    A class that does not say how it is copied shares what it keeps its values in; of that a copy is made, too.
    """
    if isinstance(item, dict) or hasattr(type(item), "__copy__"):
        return copy.copy(item)
    values = list(item.values())
    return copy.deepcopy(item, {id(value): value for value in values})
