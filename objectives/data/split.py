"""A data split, in whatever form the user has it: tensors, a ``Dataset`` or a ``DataLoader``.

>>> split = Split((torch.zeros(10, 3), torch.zeros(10, dtype=torch.long)))
>>> [tuple(batch.inputs.shape) for batch in split.batches(4)]
[(4, 3), (4, 3), (2, 3)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from ..errors import RankfrontError
from ..io.fingerprint import fingerprint, fingerprints, named
from .batch import Batch
from .structure import Inputs, length, place, tensors_of

RESIDENT_SHARE = 0.4
"""Share of the free device memory that one split's tensors may take."""


class Split:
    """One split of the data, read in batches.

    Tensors (a pair, or a ``TensorDataset``) are moved to the device once where they fit; any other
    ``Dataset`` is read through a ``DataLoader``; a user's own ``DataLoader`` is iterated as it is,
    with its own batch size and order.

    Args:
        source: the data.
        transform: ``transform(inputs)`` of every batch, on the device; such as bytes to normalised floats.
        augment: ``augment(inputs, generator)`` of every batch that a network is trained on, after
            ``transform``; the generator is on the CPU.
    """

    def __init__(
        self,
        source: Any,
        transform: Callable[[Inputs], Inputs] | None = None,
        augment: Callable[[Inputs, torch.Generator], Inputs] | None = None,
    ) -> None:
        if isinstance(source, Split):
            source, transform, augment = source.source, transform or source.transform, augment or source.augment
        self.transform = transform
        self.augment = augment
        if isinstance(source, TensorDataset):
            source = source.tensors
        if isinstance(source, (tuple, list)):
            source = _checked_pair(source)
        elif not isinstance(source, (Dataset, DataLoader)):
            raise RankfrontError(
                "data must be a pair of tensors (inputs, targets), a Dataset or a DataLoader, "
                f"but got {type(source).__name__}"
            )
        self.source: tuple[Tensor, Tensor] | Dataset[Any] | DataLoader[Any] = source
        self._resident: dict[torch.device, tuple[Tensor, Tensor]] = {}
        if len(self) == 0:
            raise RankfrontError("data must hold at least one sample, but it is empty")

    def __len__(self) -> int:
        if isinstance(self.source, tuple):
            return len(self.source[0])
        held = self.source.sampler if isinstance(self.source, DataLoader) else self.source
        try:
            return len(held)  # pyright: ignore[reportArgumentType]  # map-style sets have a length
        except TypeError:
            raise RankfrontError(
                f"data must know its length, but {type(held).__name__} has none (an iterable-style Dataset?)"
            ) from None

    @property
    def indexed(self) -> bool:
        """Whether a sample is the same at every training step, so that a model's outputs on it can be kept."""
        return isinstance(self.source, tuple) and self.augment is None

    def steps(self, batch_size: int) -> int:
        """Return the number of shuffled batches; a user's loader has its own."""
        if isinstance(self.source, DataLoader):
            return len(self.source)
        whole, rest = divmod(len(self), batch_size)
        return max(1, whole + (rest > 1))

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

        Shuffled batches are for training: no last one of a single sample, which batch norm refuses.
        With ``augmented`` they pass ``augment``, which draws from the same generator.
        """
        device = torch.device(device)
        if limit is None:
            yield from self._all(batch_size, device, shuffle, augmented)
            return
        left = limit
        for batch in self._all(batch_size, device, shuffle, augmented):
            if left <= 0:
                return
            size = length(batch.targets)
            yield batch if size <= left else batch[:left]
            left -= size

    def _all(
        self, batch_size: int, device: torch.device, shuffle: torch.Generator | None, augmented: bool
    ) -> Iterator[Batch]:
        for batch in self._read(batch_size, device, shuffle):
            inputs = batch.inputs if self.transform is None else self.transform(batch.inputs)
            if augmented and self.augment is not None and shuffle is not None:
                inputs = self.augment(inputs, shuffle)
            yield replace(batch, inputs=inputs)

    def _read(self, batch_size: int, device: torch.device, shuffle: torch.Generator | None) -> Iterator[Batch]:
        if isinstance(self.source, tuple):
            inputs, targets = self._on(device)
            n = len(inputs)
            order = torch.arange(n) if shuffle is None else torch.randperm(n, generator=shuffle)
            if shuffle is not None and n > batch_size and n % batch_size == 1:
                order = order[:-1]
            for index in order.split(batch_size):
                here = index.to(inputs.device)
                yield Batch(place(inputs[here], device), place(targets[here], device), index)
            return
        loader = self.source
        if not isinstance(loader, DataLoader):
            single_left = shuffle is not None and len(self) > batch_size and len(self) % batch_size == 1
            loader = DataLoader(loader, batch_size, shuffle is not None, generator=shuffle, drop_last=single_left)
        for item in loader:
            if not isinstance(item, (tuple, list)) or len(item) != 2:
                raise RankfrontError(
                    f"a batch must be a pair (inputs, targets), but the data gave {type(item).__name__}"
                )
            yield Batch(place(item[0], device), place(item[1], device))

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        assert isinstance(self.source, tuple)
        if device.type != "cuda":
            return self.source
        if device not in self._resident:
            free, _ = torch.cuda.mem_get_info(device)
            size = sum(t.numel() * t.element_size() for t in self.source)
            fits = size <= RESIDENT_SHARE * free
            inputs, targets = self.source
            self._resident[device] = (inputs.to(device), targets.to(device)) if fits else self.source
        return self._resident[device]

    def example(self) -> Inputs:
        """Return the first sample's inputs as a batch of one, on the CPU."""
        for batch in self.batches(1, limit=1):
            return batch[:1].inputs
        raise RankfrontError("data must give at least one batch, but it gave none")

    def check_classes(self, classes: int, ignored: int) -> None:
        """Refuse targets that are no class from 0 to ``classes - 1`` nor the ``ignored`` one, where all are at hand."""
        if not isinstance(self.source, tuple) or self.source[1].is_floating_point():
            return
        targets = self.source[1][self.source[1] != ignored]
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
            raise RankfrontError(
                f"targets must be classes from 0 to {classes - 1}, as many as the model's outputs, "
                f"but go from {int(targets.min())} to {int(targets.max())}"
            )

    def fingerprint(self) -> str | None:
        """Return a short hash of tensors, of a transformed sample and of the augmentation's name.

        None for a Dataset or DataLoader: reading all of it may take long.
        """
        if not isinstance(self.source, tuple):
            return None
        augment = () if self.augment is None else (getattr(self.augment, "__qualname__", type(self.augment)),)
        return fingerprint(self._hashed(self.source), *augment)[:16]

    def fingerprints(self) -> tuple[str, str, str] | None:
        """Return short hashes of the input tensor, of it and the targets, and of these and a transformed sample.

        None for a Dataset or DataLoader.
        """
        if not isinstance(self.source, tuple):
            return None
        _, inputs, both, *more = (found[:16] for found in fingerprints(self._hashed(self.source)))
        return inputs, both, more[-1] if more else both

    def _hashed(self, source: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Return what is hashed: a transform is recognised by its result for the first sample."""
        transformed = () if self.transform is None else tensors_of(self.transform(source[0][:1]))
        return named([*source, *transformed])


def _checked_pair(source: Sequence[Any]) -> tuple[Tensor, Tensor]:
    if len(source) != 2 or not all(isinstance(t, Tensor) for t in source):
        kinds = ", ".join(type(t).__name__ for t in source[:4])
        hint = "; torch.from_numpy makes tensors of arrays" if "ndarray" in kinds else ""
        raise RankfrontError(f"data must be a pair of tensors (inputs, targets), but got ({kinds}){hint}")
    inputs, targets = source
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets):
        raise RankfrontError(
            f"inputs and targets must have the same length, but got {tuple(inputs.shape)} and {tuple(targets.shape)}"
        )
    return inputs, targets
