"""The interface of a form of data: in memory, a Dataset, a loader of the user's, a stream."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data._utils import collate

from ..boundary import in_users_code
from ..errors import RankfrontError

COLLATED = {
    "default_collate: batch must contain": "they hold something else than tensors, arrays, numbers and texts (images, "
    "None …): make tensors of it in the Dataset, of images by torchvision.transforms",
    "stack expects each tensor to be equal size": "they differ in size: make them equal in the Dataset",
    "each element in list of batch should be of equal size": "they differ in length: make them equal in the Dataset",
}
"""What torch says where it cannot put samples together, in an exception of any of its workers, and what is wrong."""

COLLATING = str(Path(collate.__file__))
"""The file of torch's that puts samples together: it is in the traceback, which a worker's exception holds as text."""


def endless(what: str, batches: int) -> str:
    """Return the error of data without an end."""
    return (
        f"data must have an end, but its {what} gave {batches:,} batches and more: "
        "for training say how far it is read, FineTune(steps=N); for scoring cut it, as itertools.islice does"
    )


def empty_read(name: str) -> str:
    """Return the error of data that gives nothing when it is read; ``name`` of the split, with a space, or nothing."""
    return (
        f"{name}data must give at least one batch each time it is read, but gave none: its batches may be larger than "
        "the data and dropped, or it can be read only once"
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


def noted(batches: Iterator[Read], name: str) -> Iterator[Read]:
    """Yield batches as they come; what the user's code raises is noted to be raised by the data of that name.

    Raises:
        RankfrontError: torch's own function cannot put samples together.
    """
    with in_users_code(name):
        try:
            yield from batches
        except (TypeError, RuntimeError) as error:
            hint = next((hint for begin, hint in COLLATED.items() if begin in str(error)), None)
            if hint is None or COLLATING not in "".join(traceback.format_exception(error)):
                raise
            raise RankfrontError(
                f"{name} must hold samples that torch's default_collate puts together, but {hint}, or give a "
                "DataLoader with a collate_fn of your own"
            ) from error
