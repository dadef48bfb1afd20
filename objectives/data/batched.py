"""What training and evaluation read: a whole split, or a few of its batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from .batch import Batch


class Batched(Protocol):
    """Gives batches of samples, each time it is asked."""

    @property
    def size(self) -> int | None:
        """The number of samples that there are said to be; None where it is not known."""
        ...

    @property
    def generators(self) -> list[torch.Generator]:
        """The random generators that reading draws from, besides the global ones."""
        ...

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in an epoch of training."""
        ...

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        shuffle: torch.Generator | None = None,
        augmented: bool = False,
        limit: int | None = None,
    ) -> Iterator[Batch]:
        """Yield batches on a device: see `Split.batches`."""
        ...
