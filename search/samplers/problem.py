"""The problem that a sampler proposes plans for: constant while a study runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study

from ...objectives.metrics.scale import Scale
from ...objectives.plan import Plan
from ..space.space import Space
from ..storage.slots import seed_for


class Row(NamedTuple):
    """What samplers learn from one trial; kept, since what has ended does not change."""

    choices: bytes
    """int64, ``(L,)``"""
    ended: bool
    feasible: bool
    """Whether it is complete and within the budget."""
    value: float
    """The score after fine-tuning, minimised; NaN where it is not feasible."""
    value_before_finetuning: float
    """That before; NaN where there was none."""


@dataclass(frozen=True)
class Problem:
    """The search space, the study's settings, and what can be asked about a plan without training it."""

    space: Space
    seed: int
    """The study's seed."""
    trials: int
    """How many trials the study is to have."""
    factorized_score: Callable[[Plan], float | None]
    """Plan → validation score of the network as it is factorized; None where it has none."""
    score_before_finetuning: Callable[[Plan], float | None]
    """Plan → validation score of the network that a trial fine-tunes (refitted, batch norm re-estimated); or None."""
    scale: Scale
    """The score's direction: whether higher or lower is better."""
    samples: int
    """The size of the validation split where the score is a proportion of it, such as accuracy; else 0."""
    costs: tuple[str, ...] = ()
    """The metrics that are objectives beside the score; none in a study of the score alone."""
    cost_before_finetuning: float = 0.0
    """What `score_before_finetuning` costs, as a share of a trial."""
    wants_front: bool = False
    """Whether the whole front is wanted; else the best at the budget first."""

    shares_weights: bool = False
    """Whether `score_before_finetuning` is of weights that all plans share, and so tells nearly what training would."""

    rows: WeakKeyDictionary[Study, dict[int, Row]] = field(default_factory=WeakKeyDictionary, compare=False)
    """Study → trial's number → what is learnt from it."""

    def values(self, scores: Iterable[float | None]) -> NDArray[np.float64]:
        """Return what is minimised, ``(N,)``: scores, the sign turned where higher is better; NaN where there is none.

        Samplers work on values alone.
        """
        return np.array([np.nan if score is None else self.scale.minimised(score) for score in scores], float)

    def seed_of(self, slot: int) -> int:
        """Return the seed of everything random in the proposal of a slot: the same whenever the slot is run again."""
        return seed_for(self.seed, slot, "proposal")
