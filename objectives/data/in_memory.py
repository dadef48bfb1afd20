"""Data that is in memory: tensors, or structures of tensors, with all samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import RankfrontError
from .containers import parts_of
from .evenly import evenly
from .pairs import check_dense
from .samples import axis_of, count, cut, told
from .source import Read
from .structure import place, tensors_of, with_leaves

RESIDENT_SHARE = 0.4
"""Share of the free device memory that one split's tensors may take."""


class InMemory:
    """A pair of inputs and targets, or any other tuple of columns for a ``collate`` of the user's.

    The tensors are moved to a GPU once where they fit. A tensor that is ``alone`` is given as it is, not in a tuple.

    Raises:
        RankfrontError: it is no pair of tensors, or they differ in length.
    """

    columns = False

    def __init__(self, source: Sequence[Any], *, dim: int | None, pair: bool, alone: bool = False) -> None:
        placed = [with_leaves(part, _as_tensor) for part in source]
        if (pair and len(placed) != 2) or not placed or not all(map(_holds_tensors, placed)):
            kinds = ", ".join(map(_kind, source[:4]))
            hint = _hint(placed, pair)
            raise RankfrontError(f"data must be a pair of tensors (inputs, targets), but got ({kinds}){hint}")
        check_dense(placed)
        self.source = tuple(placed)
        self.alone = alone
        self.dim = _dim_of(self.source) if dim is None else dim
        lengths = {count(part, self.dim) for part in self.source}
        if len(lengths) > 1 or None in lengths:
            along = f" along dimension {self.dim}" if self.dim else ""
            sizes = [tuple(part.shape) if isinstance(part, Tensor) else told(part) for part in self.source]
            raise RankfrontError(
                f"inputs and targets must have the same length{along}, but got {' and '.join(map(str, sizes))}"
            )
        (self.size,) = lengths
        self._resident: dict[torch.device, tuple[Any, ...]] = {}

    def __len__(self) -> int:
        return self.size or 0

    def steps(self, batch_size: int) -> int:
        """Return the number of shuffled batches: no last one of a single sample."""
        whole, rest = divmod(len(self), batch_size)
        return max(1, whole + (rest > 1))

    def read(self, batch_size: int, shuffle: torch.Generator | None, device: torch.device) -> Iterator[Read]:
        """Yield tuples of columns, in order or shuffled, with the samples' positions."""
        source, n = self._on(device), len(self)
        order = torch.arange(n) if shuffle is None else torch.randperm(n, generator=shuffle)
        if shuffle is not None and n > batch_size and n % batch_size == 1:
            order = order[:-1]
        for index in order.split(batch_size):
            yield Read(self._cut(source, index), index)

    def few(self, samples: int) -> Iterator[Any]:
        """Yield a batch of evenly spaced samples."""
        yield self._cut(self.source, torch.tensor(evenly(len(self), samples)))

    def repeated(self, times: int) -> Any:
        """Return the first sample so many times."""
        return self._cut(self.source, torch.zeros(times, dtype=torch.long))

    def _cut(self, source: tuple[Any, ...], index: Tensor) -> Any:
        found = cut(source, index, self.dim, len(self))
        return found[0] if self.alone else found

    def _on(self, device: torch.device) -> tuple[Any, ...]:
        if device.type != "cuda":
            return self.source
        if device not in self._resident:
            free, _ = torch.cuda.mem_get_info(device)
            size = sum(t.numel() * t.element_size() for t in tensors_of(self.source))
            fits = size <= RESIDENT_SHARE * free
            self._resident[device] = place(self.source, device) if fits else self.source
        return self._resident[device]


def _kind(item: Any) -> str:
    """Return an item's type; of a structure with something in it that is no tensor, also of what it holds."""
    name, parts = type(item).__name__, parts_of(item)
    if not parts or type(item) is list or _holds_tensors(item):
        return name
    return f"{name} of {', '.join(f'{key} {_kind(part)}' for key, part in list(parts.items())[:6])}"


def _as_tensor(leaf: Any) -> Any:
    return place(leaf, "cpu") if isinstance(leaf, np.ndarray) else leaf


def _hint(given: list[Any], pair: bool) -> str:
    numbers = (
        ": torch.tensor(…) makes a tensor of a list of numbers" if any(type(part) is list for part in given) else ""
    )
    if pair and len(given) > 2:
        return f"; a tuple of {len(given)} needs a collate{numbers}"
    if pair and (len(given) == 1 or any(part is None for part in given)):
        return ": without targets, give the inputs twice, (x, x)"
    if any(type(part).__module__.partition(".")[0] in ("pandas", "polars", "pyarrow") for part in given):
        return ": torch.as_tensor(frame.to_numpy()) makes tensors of them"
    if any(isinstance(part, np.ndarray) for part in given):
        return ": arrays must hold numbers"
    return numbers


def _holds_tensors(item: Any) -> bool:
    """Return whether an item is a tensor, or a structure of nothing but tensors with samples."""
    if isinstance(item, Tensor):
        return item.ndim > 0
    parts = parts_of(item)
    return bool(parts) and all(map(_holds_tensors, parts.values()))


def _dim_of(source: tuple[Any, ...]) -> int:
    """Return along which dimension the samples lie: 1 where the first column is as long there as the last one."""
    first, last = tensors_of(source[0])[0], tensors_of(source[-1])[0]
    return int(len(first) != len(last) and axis_of(first, len(last), 1) == 1)
