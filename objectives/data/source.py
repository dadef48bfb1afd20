"""The interface of a form of data: in memory, a Dataset, a loader of the user's, a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..boundary import in_users_code


def endless(what: str, batches: int) -> str:
    """Return the error of data without an end."""
    return (
        f"data must have an end, but its {what} gave {batches:,} batches and more: "
        "for training say how far it is read, FineTune(steps=N); for scoring cut it, as itertools.islice does"
    )


@dataclass(frozen=True)
class Read:
    """What the data gives for a batch, as it comes, and which samples these are, where that is known ``(N,)``."""

    given: Any
    index: Tensor | None = None


class Source(Protocol):
    """A form of data: gives batches as they come, before they are read as pairs."""

    @property
    def columns(self) -> bool:
        """Whether the lists in its batches hold columns, as torch's ``default_collate`` makes them of tuples."""
        ...

    @property
    def size(self) -> int | None:
        """The number of samples in an epoch, where it is known without reading them."""
        ...

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in an epoch of training; raises `RankfrontError` where there is no end."""
        ...

    def read(self, batch_size: int, shuffle: torch.Generator | None, device: torch.device) -> Iterator[Read]:
        """Yield the batches of an epoch: in order, or shuffled by the generator where the order is not the user's."""
        ...

    def few(self, samples: int) -> Iterator[Any]:
        """Yield batches that together hold so many samples, where there are so many, or more; always the same ones.

        They are read in this process.
        """
        ...

    def repeated(self, times: int) -> Any:
        """Return one sample so many times as a batch; raises `LookupError` where none can be had by itself."""
        ...


def noted(batches: Iterator[Read]) -> Iterator[Read]:
    """Yield batches as they come; what the user's code raises is noted to be the data's."""
    with in_users_code("the data"):
        yield from batches
