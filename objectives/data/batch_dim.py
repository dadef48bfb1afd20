"""Find along which dimension a batch holds its samples: 0, or 1 as in sequence-first models."""

from __future__ import annotations

from collections.abc import Callable

from .pairs import Pair
from .samples import axis_of, count
from .structure import tensors_of


def found_dim(repeated: Callable[[int], Pair], batch: Pair) -> int:
    """Return the dimension of the samples in the first input tensor.

    It is the one that differs between one sample put together twice and three times. Where a batch cannot be made so,
    it is 1 where only the second dimension is as long as there are targets, else 0.

    Args:
        repeated: returns a batch that holds one sample so many times.
        batch: any batch.
    """
    found = _differing(repeated)
    if found is not None:
        return found
    tensors, samples = tensors_of(batch.inputs), count(batch.targets)
    if not tensors or samples is None or isinstance(batch.inputs, list):
        return 0
    return int(axis_of(tensors[0], samples) != 0 and axis_of(tensors[0], samples, 1) == 1)


def _differing(repeated: Callable[[int], Pair]) -> int | None:
    try:
        pairs = list(zip(*(tensors_of(repeated(times).inputs) for times in (2, 3)), strict=True))
    except Exception:  # whatever the user's code raises: reading in the usual way will say it
        return None
    for two, three in pairs:
        if two.ndim == three.ndim:
            differing = [axis for axis in range(two.ndim) if (two.shape[axis], three.shape[axis]) == (2, 3)]
            if len(differing) == 1:
                return differing[0]
    return None
