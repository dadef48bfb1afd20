"""Nested structures of tensors, dicts and tuples: what models are called with, what they give, and targets.

>>> length({"tokens": torch.zeros(3, 7), "mask": torch.ones(3, 7)})
3
"""

from __future__ import annotations

from collections.abc import Sequence
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


def place(item: Any, device: torch.device | str) -> Any:
    """Move every tensor of a structure to ``device``; whatever is no tensor stays as it is."""
    device = torch.device(device)
    if isinstance(item, Tensor):
        return item.to(device, non_blocking=device.type == "cuda")  # from CUDA it must wait
    if isinstance(item, dict):
        return {key: place(value, device) for key, value in item.items()}
    if isinstance(item, (tuple, list)):
        return tuple(place(value, device) for value in item)
    return item


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
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, (tuple, list)) else ()
    return [tensor for part in parts for tensor in tensors_of(part)]
