"""What a sampler is told of the study it proposes for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...objectives.plan import Plan
from ..space.space import Space


@dataclass(frozen=True)
class Problem:
    """The plans there are and what may be asked about them without training."""

    space: Space
    seed: int
    trials: int
    """How many the study is to have."""
    bare: Callable[[Plan], float | None]
    """The validation score of a plan's network as it is factorized; None if there is none."""
    untrained: Callable[[Plan], float | None]
    """That of the network that a trial fine-tunes: refitted, batch norm re-estimated; None if there is none."""
    samples: int
    """Of the validation split, where the score is an accuracy; else 0."""
