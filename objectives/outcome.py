"""What becomes of a trial."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from .metrics.values import Metrics


@dataclass(frozen=True)
class Outcome:
    """What became of a trial: its validation score, what the network costs, and the network (on the CPU)."""

    score: float
    metrics: Metrics
    model: nn.Module
    batchnorm_reestimated: bool = False
    score_before_finetuning: float | None = None
    """The validation score before fine-tuning; None where it is not known."""
    notes: tuple[str, ...] = ()
    """What was unusual."""
    interval: tuple[float, float] | None = None
    """The score's 95 % interval, where it has one."""
