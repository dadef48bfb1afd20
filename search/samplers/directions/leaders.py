"""The last trials of a study run its leaders again with other seeds.

The plan that is reported as best was chosen for its score, which is biased upwards (see `repeats`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import final

import numpy as np

from ...space.arrays import Choices
from ...storage.repeats import LEADERS, runs_of
from ..history import History
from ..sampler import ChoicesSampler

ONE_IN = 15
"""One in so many of a study's trials is a leader's second run; tuned on ``truth`` and ``digits``."""


@final
@dataclass(frozen=True)
class LeadersAgain:
    """Another sampler's proposals, and in the study's last slots the leaders'."""

    sampler: ChoicesSampler

    def propose(self, history: History, slot: int, /) -> Choices:
        """Return a leader's choices in the last slots, elsewhere the other sampler's."""
        trials = history.problem.trials
        again = min(trials // ONE_IN, LEADERS)
        if trials - again <= slot < trials and (leader := next_leader(history, again)) is not None:
            return leader
        return self.sampler.propose(history, slot)


def next_leader(history: History, count: int) -> Choices | None:
    """Return, of the ``count`` plans with the best first value, the one of fewest runs; None before any trial."""
    known = history.observations
    runs = runs_of(zip(map(tuple, known.choices.tolist()), known.values.tolist(), strict=True))
    leaders = sorted(runs, key=lambda plan: runs[plan][0])[:count]
    if not leaders:
        return None
    running = Counter(map(tuple, history.running.tolist()))
    return np.array(min(leaders, key=lambda plan: len(runs[plan]) + running[plan]), np.int64)
