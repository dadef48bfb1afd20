"""A data split, in whatever form the user has it: tensors, a ``Dataset``, a ``DataLoader``, a stream of batches.

>>> split = Split((torch.zeros(10, 3), torch.zeros(10, dtype=torch.long)))
>>> [tuple(batch.inputs.shape) for batch in split.batches(4)]
[(4, 3), (4, 3), (2, 3)]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from ..boundary import in_users_code
from ..errors import RankfrontError
from .batch import Batch
from .batch_dim import found_dim
from .forms import source_of
from .in_memory import InMemory
from .loaders import Loader, generators
from .pairs import Pair, paired
from .randomness import fixed_seed
from .reservoir import reservoir
from .samples import told
from .source import Read, empty_read, noted
from .stream import Stream
from .structure import Inputs, place
from .together import joined

Collate = Callable[[Any], Any]
"""What makes a pair (inputs, targets) of what the data gives for a batch."""


class Split:
    """One split of the data, read in batches.

    Tensors are moved to the device once where they fit; a ``Dataset`` is read through a ``DataLoader``; a user's own
    ``DataLoader`` is iterated as it is, with its own batch size and order. See `forms` for what else is taken.

    Args:
        source: the data.
        transform: ``transform(inputs)`` of every batch, on the device; such as bytes to normalised floats.
        augment: ``augment(inputs, generator)`` of training batches after ``transform``; its generator is on the CPU.
        collate: ``collate(batch)`` makes the pair ``(inputs, targets)`` of a batch that is none, nor has labels.
        batch_dim: along which dimension tensors hold their samples where they have one; found if not given.
        name: of the split, for errors, such as ``validation``.
    """

    def __init__(
        self,
        source: Any,
        transform: Callable[[Inputs], Inputs] | None = None,
        augment: Callable[[Inputs, torch.Generator], Inputs] | None = None,
        collate: Collate | None = None,
        batch_dim: int | None = None,
        name: str = "",
    ) -> None:
        if isinstance(source, Split):
            transform, augment = transform or source.transform, augment or source.augment
            collate = collate or source.collate
            batch_dim = source.batch_dim if batch_dim is None else batch_dim
            source = source.source
        self.transform = transform
        self.augment = augment
        self.collate = collate
        self.batch_dim = batch_dim
        self.name = f"{name} " if name else ""
        self._form = source_of(source, dim=batch_dim, collated=collate is not None)
        self.source: Any = self._form.source if isinstance(self._form, InMemory) else source
        self._dim = self._form.dim if isinstance(self._form, InMemory) else batch_dim
        if self._form.size == 0:
            raise RankfrontError("data must hold at least one sample, but it is empty")

    def __len__(self) -> int:
        if self._form.size is None:
            raise RankfrontError(f"data must know its length, but {told(self.source)} has none")
        return self._form.size

    @property
    def size(self) -> int | None:
        """The number of samples that the data says it has; None where it does not know it.

        Fewer may come: a loader may drop its last batch. What is counted is what came (`evaluate`).
        """
        return self._form.size

    @property
    def in_memory(self) -> bool:
        """Whether `source` is a tuple of tensors, or of structures of them."""
        return isinstance(self._form, InMemory)

    @property
    def indexed(self) -> bool:
        """Whether a sample is the same at every training step, so that a model's outputs on it can be kept."""
        return self.in_memory and self.augment is None and self.collate is None

    @property
    def generators(self) -> list[torch.Generator]:
        """The random generators that reading draws from, besides the global ones."""
        return generators(self._form.loader) if isinstance(self._form, Loader) else []

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in an epoch of training; of a user's loader or stream, those that it gives.

        Raises:
            RankfrontError: the data has no end.
        """
        return self._form.steps(batch_size)

    def check_ends(self, batch_size: int) -> None:
        """Raise `RankfrontError` where the data has no end; a stream that does not tell its length is read for that."""
        believed = isinstance(self._form, Stream) and self._form.told(batch_size) is not None
        if self._form.size is None and not believed:
            self._form.steps(batch_size)

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        shuffle: torch.Generator | None = None,
        augmented: bool = False,
        limit: int | None = None,
    ) -> Iterator[Batch]:
        """Yield batches on ``device``: in order, or shuffled by the generator; at most ``limit`` samples.

        Shuffled batches are for training: those made here have no last one of a single sample, which batch norm
        refuses. With ``augmented`` they pass ``augment``, which draws from the same generator. The last batch is
        longer than ``limit`` allows where it cannot be cut.
        """
        device, left, empty = torch.device(device), limit, True
        for read in noted(self._form.read(batch_size, shuffle, device), f"the {self.name}data"):
            batch = self._ready(self._pair(read), device)
            if augmented and self.augment is not None and shuffle is not None:
                with in_users_code("the data's augment", batch.inputs):
                    batch = replace(batch, inputs=self.augment(batch.inputs, shuffle))
            empty = False
            if left is None:
                yield batch
                continue
            size = batch.samples
            yield batch if size <= left else batch[:left]
            left -= size
            if left <= 0:
                return
        if empty:
            raise RankfrontError(empty_read(self.name))

    def drawn(self, samples: int, batch_size: int, *, device: torch.device, order: torch.Generator) -> list[Batch]:
        """Return about so many samples drawn over all of the data, in batches, without augmentation.

        Of a loader they are drawn from its ``Dataset`` and put together by its own function. Where that cannot be, as
        of a stream, an epoch is read, up to a bound, and parts of its batches are kept at random.
        """
        if isinstance(self._form, Loader):
            try:
                given = list(self._form.drawn(samples, batch_size, order))
                return [self._ready(self._pair(Read(one)), device) for one in given]
            except Exception:  # samples of different lengths, whole batches: whatever else it is, reading will say it
                pass
        elif self._form.size is not None:
            return list(self.batches(batch_size, device=device, shuffle=order, limit=samples))
        read = (self._pair(one) for one in self._form.read(batch_size, order, torch.device("cpu")))
        return [self._ready(batch, device) for batch in reservoir(read, samples, batch_size, order)]

    def few(self, samples: int, device: torch.device | str = "cpu") -> Batch:
        """Return at most so many samples, always the same, read in this process; after ``transform``, on a device.

        They are evenly spaced among those that the data gives; of a stream, the first. Whatever the user's code raises
        passes. Where batches cannot be put together, they are those of the first.
        """
        batches: list[Batch] = []
        for given in self._form.few(samples):
            batches.append(self._pair(Read(given)))
            if sum(batch.samples for batch in batches) >= samples:
                break
        try:
            batch = joined(batches)
        except RankfrontError:
            batch = batches[0]
        return self._ready(batch, torch.device(device))[:samples]

    def example(self) -> Inputs:
        """Return the first sample's inputs as a batch of one, on the CPU.

        Raises:
            RankfrontError: the data gives no batch, or one that cannot be cut into samples.
        """
        with fixed_seed(0):
            try:
                return self._ready(self._pair(Read(self._form.repeated(1))), torch.device("cpu")).inputs
            except Exception:  # a Dataset that works in a loader's workers only, a stream
                pass
        batch = next(self.batches(1, limit=1))
        possible, reason = batch.can_cut()
        if batch.samples > 1 and not possible:
            raise RankfrontError(
                f"data must give single samples, or batches that can be cut into them, but {reason}: give a DataLoader "
                "over a Dataset, whose collate_fn makes a batch of one sample"
            )
        return batch[:1].inputs

    def _pair(self, read: Read) -> Batch:
        """Return what was read as a batch."""
        columns = self._form.columns and self.collate is None
        pair = self._paired(read.given, columns)
        if self._dim is None:
            alone = functools.partial(self._paired, columns=False)
            self._dim = 0 if columns else found_dim(lambda times: alone(self._form.repeated(times)), pair)
        return Batch(pair.inputs, pair.targets, read.index, self._dim)

    def _paired(self, given: Any, columns: bool) -> Pair:
        if self.collate is not None:
            with in_users_code("the data's collate", given):
                given = self.collate(given)
        return paired(given, columns=columns, collated=self.collate is not None)

    def _ready(self, batch: Batch, device: torch.device) -> Batch:
        """Return a batch on a device, transformed."""
        inputs, targets = place(batch.inputs, device), place(batch.targets, device)
        if self.transform is not None:
            with in_users_code("the data's transform", inputs):
                inputs = self.transform(inputs)
        return replace(batch, inputs=inputs, targets=targets)
