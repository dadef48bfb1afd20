"""What a sampler is: from what the trials have taught to the next plan.

    class Halving:
        def propose(self, history, slot):
            return history.problem.space.candidates.sizes // 2

- An allocation rule is a sampler that looks at no trial (`rule`).
- Optuna's samplers are asked for all parameters together; their proposals are repaired to the budget
  (`optuna_sampler`).
- The default sampler learns which layers matter (`directions`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .history import History


class Sampler(Protocol):
    """Anything with this method; ``rankfront.run(sampler=…)`` takes objects of the user's own.

    It is called under the study's lock, one worker at a time; while it scores networks through ``history.problem``, the
    others go on. To resume a study exactly, it keeps nothing between calls, and seeds everything random by
    ``history.problem.seed_of(slot)``.
    """

    def propose(self, history: History, slot: int, /) -> ArrayLike:
        """Return the choices ``(L,)`` of the next trial: the place of each layer's option, integers from 0.

        Args:
            history: what the study's trials have taught.
            slot: the trial's place among the study's, from 0.
        """
        ...


class ChoicesSampler(Protocol):
    """A sampler whose choices are an int64 array: all samplers here are."""

    def propose(self, history: History, slot: int, /) -> NDArray[np.int64]:
        """Return the choices ``(L,)`` of the next trial."""
        ...
