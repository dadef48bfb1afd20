"""Nested structures: what models are called with, what they give, and targets.

Any nesting of tensors, containers (see `containers`), numbers, texts and None; NumPy arrays, which `place` turns into
tensors; a ``PackedSequence``; objects that have a ``to(device)`` of their own, such as graph batches.

A **list** holds one item a sample (images of different sizes, texts), or one part a column where its length is not the
number of samples. A **tuple** holds columns, each with all samples.

>>> length({"tokens": torch.zeros(3, 7), "mask": torch.ones(3, 7)})
3
>>> length([torch.zeros(3, 40, 30), torch.zeros(3, 20, 50)])
2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..io.arrays import tensor_of
from .calling import Inputs as Inputs
from .calling import apply as apply
from .containers import parts_of as parts_of
from .containers import rebuilt as rebuilt
from .samples import cut as cut
from .samples import join as join
from .samples import length as length


def mapped(item: Any, function: Callable[[Tensor], Any]) -> Any:
    """Return the structure with every tensor replaced by the function's value; containers keep their types."""

    def leaf(value: Any) -> Any:
        if isinstance(value, PackedSequence):
            return value._replace(data=function(value.data))
        return function(value) if isinstance(value, Tensor) else value

    return with_leaves(item, leaf)


def with_leaves(item: Any, function: Callable[[Any], Any]) -> Any:
    """Return the structure with every leaf, tensor or not, replaced by the function's value."""
    parts = parts_of(item)
    return function(item) if parts is None else rebuilt(item, [with_leaves(part, function) for part in parts.values()])


def place(item: Any, device: torch.device | str) -> Any:
    """Move a structure to ``device``: tensors, arrays as tensors, and what has a ``to`` of its own."""
    device = torch.device(device)

    def put(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.to(device, non_blocking=device.type == "cuda")  # from CUDA it must wait
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc":
            return tensor_of(leaf).to(device)
        own: Any = getattr(leaf, "to", None)
        moved = own(device) if callable(own) else None
        return leaf if moved is None else moved

    return with_leaves(item, put)


def full_precision(item: Any) -> Any:
    """Return the structure with its half-precision tensors in float32."""
    return mapped(item, lambda tensor: tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor)


def tensors_of(item: Any) -> list[Tensor]:
    """Return the tensors of a structure, in order; of an object with a ``to`` those among its attributes."""
    if isinstance(item, Tensor):
        return [item]
    if isinstance(item, PackedSequence):
        return [tensor for tensor in item if tensor is not None]
    parts = parts_of(item)
    if parts is None:
        held = callable(getattr(item, "to", None)) and hasattr(item, "__dict__")
        return [value for value in vars(item).values() if isinstance(value, Tensor)] if held else []
    return [tensor for part in parts.values() for tensor in tensors_of(part)]
