"""What a study's trials have taught so far: all that a sampler proposes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial

from ..storage.slots import occupied
from ..storage.trials import SCORE, SCORE_BEFORE_FINETUNING, feasible
from .problem import Problem


@dataclass(frozen=True)
class Observations:
    """The complete trials within the budget, in the order of their slots."""

    choices: NDArray[np.int64]
    """(N, L)"""
    values: NDArray[np.float64]
    """(N,): the scores after fine-tuning, minimised (see `Problem.values`)."""
    values_before_finetuning: NDArray[np.float64]
    """(N,): those before; NaN where there was none."""


@final
class History:
    """A study as one worker sees it at one moment, for the proposal of one trial.

    Everything is read from the study, nothing is kept between trials: so a resumed study proposes what an undisturbed
    one does, and each worker knows what the others have found.
    """

    def __init__(self, study: Study, problem: Problem, trial: FrozenTrial) -> None:
        self.study = study
        """The Optuna study, for samplers that read it themselves."""
        self.problem = problem
        self.trial = trial
        """The trial to propose for, as Optuna knows it."""
        holders = {t.number: t for _, t in sorted(occupied(study).items()) if t.number != trial.number}
        self._trials = list(holders.values())

    def refreshed(self) -> History:
        """Return the history as it is now: other workers go on while a sampler scores networks."""
        return History(self.study, self.problem, self.trial)

    @cached_property
    def observations(self) -> Observations:
        """The complete trials within the budget."""
        trials = [t for t in self._trials if feasible(t)]
        return Observations(
            self._choices(trials),
            self.problem.values(t.user_attrs[SCORE] for t in trials),
            self.problem.values(t.user_attrs.get(SCORE_BEFORE_FINETUNING) for t in trials),
        )

    @cached_property
    def tried(self) -> NDArray[np.int64]:
        """(T, L): the choices of all trials that hold a slot, running ones too, except the one to propose for."""
        return self._choices(self._trials)

    @cached_property
    def running(self) -> NDArray[np.int64]:
        """(R, L): the choices of the trials that other workers run now."""
        return self._choices(t for t in self._trials if not t.state.is_finished())

    def _choices(self, trials: Iterable[FrozenTrial]) -> NDArray[np.int64]:
        space, rows = self.problem.space, self.problem.rows.setdefault(self.study, {})
        complete = [t for t in trials if len(t.params) == len(space.distributions)]
        for trial in complete:
            if trial.number not in rows:
                rows[trial.number] = space.choices(trial.params).tobytes()
        joined = b"".join(rows[trial.number] for trial in complete)
        return np.frombuffer(joined, np.int64).reshape(-1, len(space.distributions))
