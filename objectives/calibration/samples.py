"""The training samples that calibration sees, and those held out to choose by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch

from ..data.batch import Batch
from ..data.randomness import fixed_seed
from ..data.split import Split

BATCH = 64
"""Largest batch of the passes over calibration data."""


class Samples(NamedTuple):
    """Batches for calibration, and others, a quarter as many, that are held out."""

    calibration: list[Batch]
    held_out: list[Batch]


def in_training_batches(batches: Iterable[Batch], size: int) -> list[Batch]:
    """Return batches cut into parts of ``size`` samples at most: what a pass with gradients takes."""
    return [part for batch in batches for part in batch.parts(math.ceil(batch.samples / size))]


def draw(data: Split, size: int, seed: int, device: torch.device, largest: int = BATCH) -> Samples:
    """Draw samples of a training split, always the same under a seed.

    Args:
        data: the training split.
        size: number of calibration samples.
        seed: of the order of the samples, and of whatever a Dataset draws.
        device: where they are to be.
        largest: largest batch that the model takes without gradients.
    """
    held_out = max(1, size // 4)
    batch_size = min(BATCH, largest, max(2, (size + held_out) // 5))  # at least one batch is to be held out
    with fixed_seed(seed):
        order = torch.Generator().manual_seed(seed)
        batches = data.drawn(size + held_out, batch_size, device=device, order=order)
    keep = max(1, round(len(batches) * size / (size + held_out)))
    return Samples(batches[:keep], batches[keep:] or batches[-1:])
