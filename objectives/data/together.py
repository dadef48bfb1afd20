"""Batches put together where they fit: of one form, and of the same sizes but for the number of samples."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import RankfrontError
from .batch import Batch
from .samples import join


def joined(batches: Sequence[Batch]) -> Batch:
    """Return all samples of batches as one.

    Raises:
        RankfrontError: they do not fit.
    """
    first = batches[0]
    if len(batches) == 1:
        return first
    counts = [batch.samples for batch in batches]
    inputs = join([batch.inputs for batch in batches], first.dim, counts)
    return Batch(inputs, join([batch.targets for batch in batches], first.dim, counts), None, first.dim)


def together(batches: Sequence[Batch], most: int | None = None) -> list[Batch]:
    """Return the same samples in fewer batches, each as large as can be: at most ``most`` samples, where that is given.

    A batch is put to the first that it fits.
    """
    groups: list[list[Batch]] = []
    for batch in batches:
        for group in groups:
            if most is not None and sum(one.samples for one in group) + batch.samples > most:
                continue
            try:
                joined([group[0], batch])
            except RankfrontError:
                continue
            group.append(batch)
            break
        else:
            groups.append([batch])
    return [joined(group) for group in groups]
