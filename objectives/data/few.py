"""A few batches of a split, in the place of the whole one: for a dry run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import final

import torch

from ..boundary import in_users_code
from .batch import Batch
from .loaders import Loader
from .split import Split


@final
class Few:
    """Batches, read as those of a `Split` are: training ones are augmented."""

    def __init__(self, split: Split, batches: Sequence[Batch]) -> None:
        self.split = split
        self.held = list(batches)

    @property
    def size(self) -> int:
        """The number of samples."""
        return sum(batch.samples for batch in self.held)

    @property
    def generators(self) -> list[torch.Generator]:
        """None: the batches are there."""
        return []

    def steps(self, batch_size: int) -> int:
        """Return the number of batches, of the sizes that they have."""
        return len(self.held)

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        shuffle: torch.Generator | None = None,
        augmented: bool = False,
        limit: int | None = None,
    ) -> Iterator[Batch]:
        """Yield the batches as they are: of the sizes that they have, all of them, on their own device."""
        for batch in self.held:
            if augmented and self.split.augment is not None and shuffle is not None:
                with in_users_code("the data's augment", batch.inputs):
                    yield replace(batch, inputs=self.split.augment(batch.inputs, shuffle))
            else:
                yield batch


def few_of(split: Split, sizes: Sequence[int], device: torch.device) -> Few:
    """Return batches of so many samples each, on a device, read without a loader's workers where that can be.

    Fewer samples than asked for are in a batch that cannot be cut, or in the last ones where the data has no more.
    """
    try:
        return Few(split, [split.few(size, device) for size in sizes])
    except Exception:  # a Dataset that works in a loader's workers only, a collation of single samples
        read = itertools.islice(split.batches(max(sizes), device=device), len(sizes))
        return Few(split, [batch[:size] for batch, size in zip(read, sizes, strict=False)])


def gives_single(split: Split) -> bool:
    """Return whether the batches of a user's loader are known to hold a single sample each."""
    form = split._form
    return isinstance(form, Loader) and form.loader.batch_size == 1


def leaves_one(split: Split, batch_size: int) -> bool:
    """Return whether the last batch of a pass over a split is known to hold a single sample."""
    form = split._form
    if isinstance(form, Loader):
        own = form.loader
        return bool(own.batch_size and form.size and not own.drop_last and form.size % own.batch_size == 1)
    return form.size is not None and form.size > 1 and form.size % batch_size == 1
