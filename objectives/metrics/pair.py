"""What a score gets of each batch: its outputs and targets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..data.structure import length

Batches = Iterable[tuple[Any, Any]]
"""Pairs ``(outputs, targets)``, on the CPU, as the model and the data gave them."""


class Pair(tuple[Any, Any]):
    """``(outputs, targets)`` of a batch; it knows how many samples the batch has."""

    samples: int

    def __new__(cls, outputs: Any, targets: Any, samples: int) -> Pair:
        """Make a pair."""
        made = super().__new__(cls, (outputs, targets))
        made.samples = samples
        return made


def samples_in(pair: tuple[Any, Any]) -> int:
    """Return the number of samples of a batch; that of its targets where only these are known."""
    return pair.samples if isinstance(pair, Pair) else length(pair[1])
