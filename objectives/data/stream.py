"""Data that can only be read from its beginning: an ``IterableDataset``, or whatever else gives batches in a loop."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, default_collate

from ..errors import RankfrontError
from .randomness import fixed_seed
from .source import Read, endless

MOST_BATCHES = 2**14
"""A stream that gives more in an epoch, and does not tell its length, is taken to have no end."""


class Stream:
    """Batches in a loop: of an ``IterableDataset``, of a loader of one, of any object that gives them again and again.

    What an epoch holds is counted by reading one; the length that a stream tells is believed only where it is too long
    for that.
    """

    size = None

    def __init__(self, source: Iterable[Any]) -> None:
        self.source = source
        self._steps: int | None = None

    @property
    def columns(self) -> bool:
        """Whether torch's own function puts its samples together."""
        by = self.source.collate_fn if isinstance(self.source, DataLoader) else default_collate
        return by is default_collate and isinstance(self.source, DataLoader | IterableDataset)

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in an epoch."""
        if self._steps is None:
            with fixed_seed(0):
                found = sum(1 for _ in itertools.islice(self._batches(batch_size), MOST_BATCHES))
            self._steps = found if found < MOST_BATCHES else self.told(batch_size)
        if self._steps is None:
            raise RankfrontError(endless("stream", MOST_BATCHES))
        return self._steps

    def read(self, batch_size: int, shuffle: torch.Generator | None, device: torch.device) -> Iterator[Read]:
        """Yield its batches, in its order; raises `RankfrontError` where it is to be read whole and has no end."""
        for number, given in enumerate(self._batches(batch_size)):
            if shuffle is None and number == MOST_BATCHES and self.told(batch_size) is None:
                raise RankfrontError(endless("stream", MOST_BATCHES))
            yield Read(given)

    def few(self, samples: int) -> Iterator[Any]:
        """Yield batches from its beginning."""
        return self._batches(samples, workers=False)

    def repeated(self, times: int) -> Any:
        """Raise ``LookupError``: no sample can be read by itself."""
        raise LookupError("a stream gives no sample by itself")

    def told(self, batch_size: int) -> int | None:
        """Return the number of batches that it says it has; None where it does not tell."""
        try:
            found = len(self.source)  # pyright: ignore[reportArgumentType]
        except TypeError:
            return None
        return -(-found // batch_size) if isinstance(self.source, IterableDataset) else found

    def _batches(self, batch_size: int, workers: bool = True) -> Iterator[Any]:
        source = self.source
        if isinstance(source, IterableDataset):
            return iter(DataLoader(source, batch_size))
        if workers or not isinstance(source, DataLoader):
            return iter(source)
        return iter(DataLoader(source.dataset, source.batch_size, collate_fn=source.collate_fn))
