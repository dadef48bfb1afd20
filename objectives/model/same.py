"""Compare what two networks compute on the same samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..data.randomness import fixed_seed
from ..data.structure import Inputs, apply, tensors_of
from .mode import in_mode


@torch.no_grad()
def computed(model: nn.Module, samples: Sequence[Inputs]) -> list[Tensor]:
    """Return all tensors that a model gives on these samples in eval mode; its modules' modes stay as they are."""
    with in_mode(model, training=False), fixed_seed(0):
        return [tensor.clone() for sample in samples for tensor in tensors_of(apply(model, sample))]


def tolerance(tensors: Sequence[Tensor]) -> float:
    """Return the square root of the machine precision of the least precise floating-point tensor, 0 with none."""
    return max(
        (math.sqrt(torch.finfo(t.dtype).eps) for t in tensors if t.is_floating_point() or t.is_complex()), default=0.0
    )


def same(expected: Sequence[Tensor], found: Sequence[Tensor], relative: float) -> bool:
    """Return whether the norm of every tensor's difference is at most ``relative`` of the tensor's own norm.

    What is not finite, such as the scores of masked positions, must be equal, and is in no norm.
    """
    if [t.shape for t in expected] != [t.shape for t in found]:
        return False
    for theirs, ours in zip(expected, found, strict=True):
        wide = torch.complex128 if theirs.is_complex() else torch.float64
        old, new = theirs.detach().to(wide), ours.detach().to(wide)
        finite = old.isfinite()
        if not torch.equal(finite, new.isfinite()) or not _equal(old[~finite], new[~finite]):
            return False
        old, new = old[finite], new[finite]
        if float((new - old).abs().square().sum().sqrt()) > relative * float(old.abs().square().sum().sqrt()):
            return False
    return True


def _equal(old: Tensor, new: Tensor) -> bool:
    """Return whether two tensors are equal, where NaN equals NaN."""
    return bool(((old == new) | (old.isnan() & new.isnan())).all())
