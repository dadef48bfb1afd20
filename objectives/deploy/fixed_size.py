"""Batches of any size for a file that takes batches of one size: cut, the last one filled up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..data.samples import axis_of
from .exporter import Session


def of_any_size(session: Session, size: int, dim: int) -> Session:
    """Return what runs a file in parts.

    Args:
        session: runs batches of ``size`` samples.
        size: of every batch.
        dim: along which dimension tensors hold their samples.
    """

    def run(taken: Sequence[Tensor]) -> list[Tensor]:
        samples = next(tensor.shape[dim if dim < tensor.ndim else 0] for tensor in taken if tensor.ndim)
        found = [_part(session, taken, samples, start, size, dim) for start in range(0, samples, size)]
        axes = [axis_of(output, min(size, samples), dim) for output in found[0]]
        return [
            parts[0] if axis is None else torch.cat(parts, axis)
            for axis, parts in zip(axes, zip(*found, strict=True), strict=True)
        ]

    return run


def _part(session: Session, taken: Sequence[Tensor], samples: int, start: int, size: int, dim: int) -> list[Tensor]:
    """Return the outputs of some of the samples; where there are too few, the first one fills the batch up."""
    end = min(start + size, samples)
    wanted = torch.cat([torch.arange(start, end), torch.full((size - (end - start),), start)])
    axes = [axis_of(tensor, samples, dim) for tensor in taken]
    given = [t if axis is None else t.index_select(axis, wanted) for t, axis in zip(taken, axes, strict=True)]
    outputs = session(given)
    axes = [axis_of(output, size, dim) for output in outputs]
    return [o if axis is None else o.narrow(axis, 0, end - start) for o, axis in zip(outputs, axes, strict=True)]
