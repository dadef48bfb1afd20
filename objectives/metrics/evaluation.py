"""A network's score on a split: samples are passed batch by batch, and counted as they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from ..data.batch import Batch
from ..data.batched import Batched
from ..data.structure import apply, full_precision, place
from ..memory import exhausted
from ..model.mode import in_mode
from .measured import Interval, Measured
from .pair import Pair
from .score import Score
from .whole_split import within_memory

BATCH = 128
"""Samples a batch where nothing else is said: the default of training."""


@dataclass(frozen=True)
class Evaluation:
    """A network's score on a split, and on how much it was computed."""

    measured: Measured
    score_: Score
    seen: int
    """Number of samples that were passed."""

    @property
    def score(self) -> float:
        """The score."""
        return self.measured.value

    @property
    def samples(self) -> int:
        """On how many predictions it was computed: samples, or where the score counts itself, what it counted."""
        return self.seen if self.measured.counted is None else self.measured.counted

    @cached_property
    def interval(self) -> Interval | None:
        """The score's 95 % interval (see `Measured.interval`); None where it has none."""
        return self.measured.interval(self.score_.scale, self.seen)


@torch.no_grad()
def evaluate(
    model: nn.Module, data: Batched, score: Score, *, device: torch.device | str = "cpu", batch_size: int = BATCH
) -> Evaluation:
    """Return a network's score on a split, in eval mode, without autocast.

    As in training, outputs of 16 bits are given to the score in float32.
    Samples are counted as the score reads them: a loader may give fewer than its data has.

    Args:
        model: the network, on ``device``.
        data: the split; a user's own loader has its own batch size.
        score: the score.
        device: where to compute; outputs and targets are moved to the CPU.
        batch_size: largest number of samples in a pass.

    Raises:
        RankfrontError: the score needs all outputs at once, and they do not fit in memory.
        TrialError: the score is not a finite number.
    """
    seen = 0

    def counted() -> Iterator[Pair]:
        nonlocal seen
        for batch, outputs in _passed(model, data, device, batch_size):
            seen += batch.samples
            yield Pair(full_precision(place(outputs, "cpu")), place(batch.targets, "cpu"), batch.samples)

    with in_mode(model, training=False):
        batches = within_memory(counted(), data.size) if score.keeps_outputs else counted()
        measured = score.measured(batches)
    return Evaluation(measured, score, seen)


def _passed(
    model: nn.Module, data: Batched, device: torch.device | str, batch_size: int
) -> Iterator[tuple[Batch, Any]]:
    """Yield batches with the model's outputs; where memory does not suffice, in halves, quarters …, each by itself."""
    parts = 1
    for batch in data.batches(batch_size, device=device):
        left = batch.parts(parts)
        while left:
            try:
                outputs = apply(model, left[0].inputs)
            except Exception as error:  # whatever the model raises
                if not exhausted(error) or left[0].samples < 2 or not left[0].can_cut()[0]:
                    raise
                parts *= 2
                left = [half for part in left for half in part.parts(2)]
                continue
            yield left.pop(0), outputs
