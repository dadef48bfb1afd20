"""Outputs of a whole split, for a score that needs all of them at once.

Batches are joined tensor by tensor, each along the dimension that is as long as its batch: the first one, but of
hidden states ``(layers, N, H)`` the second. Single numbers, such as a loss, become the mean over samples. What cannot
be joined, such as a cache or logits of different lengths, may be there as long as the score does not use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..data.structure import parts_of, rebuilt, tensors_of
from ..errors import RankfrontError
from ..memory import available, shown
from .pair import Batches, samples_in

SHARE = 0.5
"""Share of the available memory that the outputs of a split may take, joined."""

COPIES = 2
"""How often they are in memory while they are joined."""


@dataclass(frozen=True)
class WholeSplit:
    """The score ``function(outputs, targets)`` of all batches, joined."""

    function: Callable[[Any, Any], Any]

    def __call__(self, batches: Batches) -> Any:
        """Return what the function returns."""
        pairs = list(batches)
        outputs, targets = map(list, zip(*pairs, strict=True))
        lengths = [samples_in(pair) for pair in pairs]
        return self.function(joined(outputs, lengths), joined(targets, lengths, "the target"))


class NotJoined:
    """Stands for a part of the outputs that cannot be joined; raises `RankfrontError` whenever it is used."""

    def __init__(self, name: str, why: str) -> None:
        self.message = (
            f"a score over the whole split uses {name}, which cannot be joined over batches ({why}): "
            "give a score that takes batches one by one, such as rankfront.Score.of_mean or one of torchmetrics"
        )

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RankfrontError(self.message)

    __getitem__ = __iter__ = __len__ = __float__ = __bool__ = __array__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _refuse
    __lt__ = __gt__ = __le__ = __ge__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RankfrontError(self.__dict__["message"])

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
        (found, *_) = [item for item in (*args, *(kwargs or {}).values()) if isinstance(item, cls)]
        raise RankfrontError(found.message)


def joined(parts: Sequence[Any], lengths: Sequence[int], name: str = "the output") -> Any:
    """Return the batches' structures as one of the same type.

    Args:
        parts: one structure a batch.
        lengths: the number of samples of each.
        name: of the part, for errors.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if all(isinstance(part, Tensor) for part in parts):
        return _joined_tensors(parts, lengths, name)
    inside = [parts_of(part) for part in parts]
    known = [one for one in inside if one is not None]
    if len(known) == len(parts):
        if type(first) is list and all(len(part) == n for part, n in zip(parts, lengths, strict=True)):
            return [item for part in parts for item in part]  # one entry a sample, such as its boxes
        if all(one.keys() == known[0].keys() for one in known):
            columns = {key: [one[key] for one in known] for key in known[0]}
            return rebuilt(first, [joined(column, lengths, f"{name}'s {key}") for key, column in columns.items()])
        return NotJoined(name, "its parts differ from batch to batch")
    if all(type(part) in (int, float, str, bool, type(None)) and part == first for part in parts):
        return first
    return NotJoined(name, f"a {type(first).__name__}")


def _joined_tensors(parts: Sequence[Tensor], lengths: Sequence[int], name: str) -> Any:
    shapes = [tuple(part.shape) for part in parts]
    if not any(shapes):
        weights = torch.tensor(lengths, dtype=torch.float64)
        return (torch.stack(list(parts)).double() @ weights / weights.sum()).to(parts[0].dtype)
    for dimension in range(min(map(len, shapes))):
        rest = {(*shape[:dimension], *shape[dimension + 1 :]) for shape in shapes}
        if len(rest) == 1 and [shape[dimension] for shape in shapes] == list(lengths):
            return torch.cat(list(parts), dimension)
    if all(shape == shapes[0] for shape in shapes) and all(torch.equal(part, parts[0]) for part in parts):
        return parts[0]
    others = [shape for shape in shapes if shape != shapes[0]]
    return NotJoined(name, f"batches gave {shapes[0]} and {others[0]}" if others else f"batches gave {shapes[0]} each")


def within_memory(batches: Batches, samples: int | None) -> Iterator[tuple[Any, Any]]:
    """Yield batches as long as the outputs of all of them together fit in memory.

    Args:
        batches: pairs ``(outputs, targets)``.
        samples: how many there will be; None where that is not known.

    Raises:
        RankfrontError: they will not fit, known from the first batch, or where their number is not known, at the batch
            that is too much.
    """
    seen = size = 0
    for pair in batches:
        seen += samples_in(pair)
        size += sum(t.numel() * t.element_size() for t in tensors_of([*pair]))
        check_memory(size, seen, samples)
        yield pair


def check_memory(size: int, seen: int, samples: int | None) -> None:
    """Refuse outputs of a whole split that do not fit in memory.

    Args:
        size: bytes of those seen.
        seen: number of samples seen.
        samples: of the split.

    Raises:
        RankfrontError: they do not fit.
    """
    expected = COPIES * size * max(1.0, (samples or 0) / max(1, seen))
    free = available() + size
    if expected > SHARE * free:
        raise RankfrontError(
            f"a score over the whole split needs all outputs in memory: about {shown(expected)} for "
            f"{max(samples or 0, seen):,} samples, but {shown(free)} are available: give a score that takes batches "
            "one by one, such as one of torchmetrics, or rankfront.Score.of_mean"
        )
