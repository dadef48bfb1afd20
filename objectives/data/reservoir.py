"""Samples drawn at random from batches that come one after the other, without knowing how many there are."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from .batch import Batch
from .structure import mapped
from .together import together

PIECE = 8
"""Samples that are drawn together, next to each other in a batch: it limits how often batches are cut."""

REACH = 32
"""At most so many times the samples wanted are read: it limits the time that a long stream takes."""


def reservoir(batches: Iterable[Batch], samples: int, batch_size: int, order: torch.Generator) -> list[Batch]:
    """Return about so many samples, in batches of at most ``batch_size`` where they can be put together.

    Pieces of the batches are kept with equal probability (Vitter, ACM TOMS 1985, algorithm R). A batch that cannot be
    cut is a piece as it is.

    Args:
        batches: an epoch of them, on the CPU; read until it ends or has given `REACH` times the samples wanted.
        samples: how many are wanted.
        batch_size: the largest batch.
        order: what is drawn from.
    """
    kept: list[Batch] = []
    passed = read = 0
    for batch in batches:
        n = batch.samples
        size = PIECE if batch.can_cut()[0] else max(1, n)
        most = max(2, -(-samples // min(size, max(1, n))))
        for start in range(0, n, size):
            at = passed if passed < most else int(torch.randint(passed + 1, (), generator=order))
            passed += 1
            if at < most:
                piece = _copied(batch[start : start + size])
                kept[at : at + 1] = [piece]
        read += n
        if read >= REACH * samples:
            break
    shuffled = [kept[i] for i in torch.randperm(len(kept), generator=order).tolist()]
    return together(shuffled, batch_size)


def _copied(batch: Batch) -> Batch:
    """Return a batch whose tensors do not keep those of a larger batch in memory."""
    inputs, targets = (mapped(item, lambda tensor: tensor.clone()) for item in (batch.inputs, batch.targets))
    return Batch(inputs, targets, batch.index, batch.dim)
