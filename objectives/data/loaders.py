"""Data behind a map-style ``Dataset``: batched here, or by a ``DataLoader`` of the user's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, default_collate

from ..errors import RankfrontError
from .evenly import evenly
from .randomness import fixed_seed
from .reservoir import PIECE
from .source import Read, endless

MOST_KEYS = 2**22
"""At most so many samples of an epoch are looked at when some are drawn: it bounds memory."""

MOST_BATCHES = 2**21
"""A sampler that gives more in an epoch is taken to have no end."""


class Samples:
    """A ``Dataset``, or another object with a length and items: put into batches by torch's ``default_collate``."""

    columns = True

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    @property
    def size(self) -> int:
        """The dataset's length; raises `RankfrontError` where it cannot tell."""
        try:
            return len(self.dataset)
        except (TypeError, NotImplementedError, AttributeError):
            raise RankfrontError(f"data must know its length, but {type(self.dataset).__name__} has none") from None

    def steps(self, batch_size: int) -> int:
        """Return the number of shuffled batches: no last one of a single sample."""
        whole, rest = divmod(self.size, batch_size)
        return max(1, whole + (rest > 1))

    def read(self, batch_size: int, shuffle: torch.Generator | None, device: torch.device) -> Iterator[Read]:
        """Yield batches, in order or shuffled."""
        single_left = shuffle is not None and self.size > batch_size and self.size % batch_size == 1
        loader = DataLoader(self.dataset, batch_size, shuffle is not None, generator=shuffle, drop_last=single_left)
        yield from map(Read, loader)

    def few(self, samples: int) -> Iterator[Any]:
        """Yield a batch of evenly spaced samples."""
        yield default_collate(_items(self.dataset, evenly(self.size, samples)))

    def repeated(self, times: int) -> Any:
        """Return the first sample so many times."""
        return default_collate([self.dataset[0]] * times)


class Loader:
    """A ``DataLoader`` of the user's over a map-style ``Dataset``: its batches are taken as they come.

    How many there are is counted in its sampler, whatever it says of its length.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader
        self._steps: int | None = None

    @property
    def columns(self) -> bool:
        """Whether it puts samples together by torch's own function."""
        return self.loader.collate_fn is default_collate

    @property
    def size(self) -> int | None:
        """The length that its sampler tells; None where it has none, or gives whole batches.

        A last batch that is dropped counts.
        """
        try:
            sampler = None if self.loader.batch_sampler is None else self._sampler()
            return None if sampler is None else len(sampler)
        except TypeError:
            return None

    def steps(self, batch_size: int) -> int:
        """Return the number of batches that its sampler gives in an epoch."""
        if self._steps is None:
            with fixed_seed(0, *generators(self.loader)):
                found = sum(1 for _ in itertools.islice(self._batches(), MOST_BATCHES))
            if found == MOST_BATCHES:
                raise RankfrontError(endless("sampler", found))
            self._steps = found
        return self._steps

    def read(self, batch_size: int, shuffle: torch.Generator | None, device: torch.device) -> Iterator[Read]:
        """Yield its batches, in its order and of its size."""
        yield from map(Read, self.loader)

    def few(self, samples: int) -> Iterator[Any]:
        """Yield a batch of samples that are evenly spaced among those that its sampler gives, without its workers.

        Of a loader without a collation of its own a single item: a batch. Of one that was given a `BatchSampler` they
        are of its whole Dataset: so older studies know their data.
        """
        batched = self.loader.batch_sampler is not None
        keys = self._keys(self.loader.sampler if type(self.loader.batch_sampler) is BatchSampler else self._sampler())
        items = _items(self.loader.dataset, [keys[i] for i in evenly(len(keys), samples if batched else 1)])
        yield self.loader.collate_fn(items if batched else items[0])

    def repeated(self, times: int) -> Any:
        """Return the first sample so many times."""
        self._check_single()
        return self.loader.collate_fn(_items(self.loader.dataset, [self._keys(self._sampler())[0]]) * times)

    def _drawn_keys(self, samples: int, batch_size: int, order: torch.Generator) -> list[list[Any]]:
        """Return batches of keys drawn at random; of a batch sampler of the user's, parts of its batches."""
        sampler = self._sampler()
        if sampler is not None:
            keys = self._keys(sampler)
            chosen = [keys[i] for i in torch.randperm(len(keys), generator=order)[:samples].tolist()]
            return [chosen[at : at + batch_size] for at in range(0, len(chosen), batch_size)]
        pieces: list[list[Any]] = []
        with fixed_seed(0, *generators(self.loader)):
            for batch in itertools.islice(self._batches(), MOST_KEYS // PIECE):
                keys = [batch[i] for i in torch.randperm(len(batch), generator=order).tolist()]
                pieces += [keys[at : at + PIECE] for at in range(0, len(keys), PIECE)]
        shuffled = [pieces[i] for i in torch.randperm(len(pieces), generator=order).tolist()]
        before = itertools.accumulate(map(len, shuffled), initial=0)
        return [piece for piece, drawn in zip(shuffled, before, strict=False) if drawn < samples]

    def _check_single(self) -> None:
        """Raise ``LookupError`` where samples cannot be read one by one as the loader reads them."""
        if self.loader.batch_sampler is None or type(self.loader).__iter__ is not DataLoader.__iter__:
            raise LookupError("it gives whole batches, or changes them after they were put together")

    def _sampler(self) -> Any:
        """Return what gives single samples (or whole batches, where it collates none); None where nothing does."""
        batches = self.loader.batch_sampler
        if batches is None:
            return self.loader.sampler
        return batches.sampler if type(batches) is BatchSampler else None

    def _keys(self, sampler: Any) -> list[Any]:
        """Return which samples are read in one epoch, as often as they are, in ascending order."""
        batches: Any = self.loader.batch_sampler
        with fixed_seed(0, *generators(self.loader)):
            given = (key for batch in batches for key in batch) if sampler is None else sampler
            found = list(itertools.islice(given, MOST_KEYS))
        try:
            return sorted(found)
        except TypeError:  # keys that have no order
            return sorted(found, key=repr)

    def drawn(self, samples: int, batch_size: int, order: torch.Generator) -> Iterator[Any]:
        """Yield batches of samples drawn from all that it reads, put together by its own function in its workers.

        What a batch sampler of the user's puts together, such as samples of like lengths, stays together.

        Raises:
            LookupError: it gives whole batches, or changes them after they were put together.
        """
        self._check_single()
        loader = self.loader
        yield from DataLoader(
            loader.dataset,
            batch_sampler=self._drawn_keys(samples, batch_size, order),
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        )

    def _batches(self) -> Iterator[Any]:
        return iter(self.loader.sampler if self.loader.batch_sampler is None else self.loader.batch_sampler)


def generators(loader: DataLoader[Any]) -> list[torch.Generator]:
    """Return the random generators that reading from a loader draws from, besides the global ones."""
    holders = (loader, loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None))
    found = (getattr(holder, "generator", None) for holder in holders)
    return list({id(generator): generator for generator in found if isinstance(generator, torch.Generator)}.values())


def _items(dataset: Any, keys: list[Any]) -> list[Any]:
    return dataset.__getitems__(keys) if hasattr(dataset, "__getitems__") else [dataset[key] for key in keys]
