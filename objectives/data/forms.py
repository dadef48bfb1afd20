"""Which form a user's data has.

Taken are a pair of tensors (or of structures of tensors, or arrays), a ``TensorDataset``, a map-style or iterable
``Dataset``, a ``DataLoader``, another object with a length and items (Hugging Face's datasets), a list of samples, and
any object or list that gives batches each time it is looped over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import GeneratorType
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from ..errors import RankfrontError
from .in_memory import InMemory
from .loaders import Loader, Samples
from .pairs import is_sample
from .refused import check_form, refused
from .samples import told
from .source import Source
from .stream import Stream


def source_of(data: Any, *, dim: int | None, collated: bool) -> Source:
    """Return data in the form that it has.

    Args:
        data: what the user gives.
        dim: along which dimension tensors hold their samples, where that is said.
        collated: whether a function of the user's makes pairs of what the data gives.

    Raises:
        RankfrontError: it is no data, or can be read only once.
    """
    check_form(data)
    if isinstance(data, TensorDataset):
        data = data.tensors
    if _is_read_once(data):
        raise RankfrontError(
            f"data must be readable again and again, but a {type(data).__name__} gives its batches once: "
            "give a list of them, or an object whose __iter__ starts anew"
        )
    if isinstance(data, Tensor | np.ndarray):
        if not collated:
            raise RankfrontError(
                f"data must be a pair of tensors (inputs, targets), but got {told(data)}: "
                "of an autoencoder, give (x, x)"
            )
        return InMemory((data,), dim=dim, pair=False, alone=True)
    if isinstance(data, tuple | list) and not _are_batches(data):
        return InMemory(data, dim=dim, pair=not collated)
    if isinstance(data, DataLoader):
        return Stream(data) if isinstance(data.dataset, IterableDataset) else Loader(data)
    if isinstance(data, list) and not collated and is_sample(data[0]):
        return Samples(data)
    if isinstance(data, IterableDataset | list):
        return Stream(data)
    items = hasattr(type(data), "__getitem__") and hasattr(type(data), "__len__")
    if isinstance(data, Dataset) or (items and not isinstance(data, str | bytes | Mapping)):
        if not hasattr(type(data), "__len__"):
            raise RankfrontError(f"data must know its length, but {type(data).__name__} has none")
        return Samples(data)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | Mapping):
        return Stream(data)
    raise refused(data)


def _is_read_once(data: Any) -> bool:
    """Return whether data is a generator, or an iterator of Python's or torch's own; a user's class may start anew."""
    builtin = isinstance(data, Iterator) and type(data).__module__ in ("builtins", "itertools")
    return builtin or isinstance(data, GeneratorType | _BaseDataLoaderIter)


def _are_batches(data: tuple[Any, ...] | list[Any]) -> bool:
    """Return whether a sequence is a list of batches: of pairs or mappings, and not itself a pair of structures."""
    return isinstance(data, list) and bool(data) and all(isinstance(one, tuple | list | Mapping) for one in data)
