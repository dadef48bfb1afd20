"""Find along which dimension a batch holds its samples: 0, or 1 as in sequence-first models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .samples import axis_of, count
from .structure import tensors_of


def found_in_samples(repeated: Callable[[int], Any]) -> int | None:
    """Return the dimension that differs between one sample put together twice and three times.

    Args:
        repeated: returns the inputs of a batch that holds one sample so many times.

    Returns:
        That of the first tensor; None where a batch cannot be made so.
    """
    try:
        pairs = list(zip(*(tensors_of(repeated(times)) for times in (2, 3)), strict=True))
    except Exception:  # whatever the user's code raises: reading in the usual way will say it
        return None
    for two, three in pairs:
        if two.ndim == three.ndim:
            differing = [axis for axis in range(two.ndim) if (two.shape[axis], three.shape[axis]) == (2, 3)]
            if len(differing) == 1:
                return differing[0]
    return None


def found_in_batch(inputs: Any, targets: Any) -> int:
    """Return 1 where only the second dimension of the first input tensor is as long as there are targets, else 0."""
    tensors, samples = tensors_of(inputs), count(targets)
    if not tensors or samples is None or isinstance(inputs, list):
        return 0
    return int(axis_of(tensors[0], samples) != 0 and axis_of(tensors[0], samples, 1) == 1)
