"""Nested structures of tensors, dicts and tuples: what models are called with, what they give, and targets.

>>> length({"tokens": torch.zeros(3, 7), "mask": torch.ones(3, 7)})
3
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

Inputs = Any
"""What a model is called with: a tensor, a tuple (positional) or a dict (keywords) of tensors."""


def apply(model: nn.Module, inputs: Inputs) -> Any:
    """Call ``model`` on a batch's inputs: a tuple as positional arguments, a dict as keywords."""
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(inputs)


def parts_of(item: Any) -> dict[str, Any] | None:
    """Return what a container holds, by key, field or position; None for whatever is no container.

    Containers are mappings (a Hugging Face ``ModelOutput`` or ``BatchEncoding`` too), lists, tuples, named tuples and
    dataclasses. A cache, a number, a string is none.
    """
    if isinstance(item, Mapping):
        return {str(key): value for key, value in item.items()}
    if isinstance(item, tuple | list):
        return dict(zip(getattr(item, "_fields", map(str, range(len(item)))), item, strict=True))
    if is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in fields(item)}
    return None


def rebuilt(item: Any, values: Sequence[Any]) -> Any:
    """Return a container of the same type as ``item`` with other parts, in the order of `parts_of`."""
    if isinstance(item, Mapping):
        try:
            copied: Any = copy.copy(item)
            for key, value in zip(item, values, strict=True):
                copied[key] = value
        except Exception:  # a mapping that is read-only
            return dict(zip(item, values, strict=True))
        return copied
    if isinstance(item, tuple | list):
        made: Any = type(item)
        return getattr(made, "_make", made)(values)
    copied = copy.copy(item)
    for field, value in zip(fields(item), values, strict=True):
        object.__setattr__(copied, field.name, value)
    return copied


def mapped(item: Any, function: Callable[[Tensor], Any]) -> Any:
    """Return the structure with every tensor replaced by the function's value; containers keep their types."""
    if isinstance(item, Tensor):
        return function(item)
    parts = parts_of(item)
    if parts is None:
        return item
    return rebuilt(item, [mapped(part, function) for part in parts.values()])


def place(item: Any, device: torch.device | str) -> Any:
    """Move every tensor of a structure to ``device``; whatever is no tensor stays as it is."""
    device = torch.device(device)
    return mapped(item, lambda tensor: tensor.to(device, non_blocking=device.type == "cuda"))  # from CUDA it must wait


def full_precision(item: Any) -> Any:
    """Return the structure with its half-precision tensors in float32."""
    return mapped(item, lambda tensor: tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor)


def join(parts: Sequence[Any]) -> Any:
    """Concatenate structures of the same form, tensor by tensor, along the first dimension."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, dict):
        return {key: join([part[key] for part in parts]) for key in first}
    return tuple(join(list(column)) for column in zip(*parts, strict=True))


def length(item: Any) -> int:
    """Return the number of samples in a structure: the length of its first tensor."""
    if isinstance(item, dict):
        return length(next(iter(item.values())))
    if isinstance(item, (tuple, list)):
        return length(item[0])
    return len(item)


def cut(item: Any, part: slice) -> Any:
    """Return some of the samples of every tensor in a structure."""
    if isinstance(item, dict):
        return {key: cut(value, part) for key, value in item.items()}
    if isinstance(item, (tuple, list)):
        return tuple(cut(value, part) for value in item)
    return item[part]


def tensors_of(item: Any) -> list[Tensor]:
    """Return the tensors of a structure, in order."""
    if isinstance(item, Tensor):
        return [item]
    return [tensor for part in (parts_of(item) or {}).values() for tensor in tensors_of(part)]
