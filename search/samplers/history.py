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
from .problem import Problem, Row


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
        holders = occupied(study)
        trials = (holders[slot] for slot in sorted(holders))
        self._trials = [each for each in trials if each.number != trial.number]

    def refreshed(self) -> History:
        """Return the history as it is now: other workers go on while a sampler scores networks."""
        return History(self.study, self.problem, self.trial)

    @cached_property
    def observations(self) -> Observations:
        """The complete trials within the budget."""
        rows = [row for row in self._rows if row.feasible]
        values = np.array([row.value for row in rows], float)
        before = np.array([row.value_before_finetuning for row in rows], float)
        return Observations(self._choices(rows), values, before)

    @cached_property
    def tried(self) -> NDArray[np.int64]:
        """(T, L): the choices of all trials that hold a slot, running ones too, except the one to propose for."""
        return self._choices(self._rows)

    @cached_property
    def running(self) -> NDArray[np.int64]:
        """(R, L): the choices of the trials that other workers run now."""
        return self._choices(row for row in self._rows if not row.ended)

    @cached_property
    def _rows(self) -> list[Row]:
        """What is known of each trial that has got its parameters."""
        known = self.problem.rows.setdefault(self.study, {})
        for trial in self._trials:
            row = known.get(trial.number)
            if (row is None or not row.ended) and len(trial.params) == len(self.problem.space.distributions):
                known[trial.number] = self._row(trial, row)
        return [known[trial.number] for trial in self._trials if trial.number in known]

    def _row(self, trial: FrozenTrial, before: Row | None) -> Row:
        choices = self.problem.space.choices(trial.params).tobytes() if before is None else before.choices
        counts = feasible(trial)
        scores = (trial.user_attrs.get(name) if counts else None for name in (SCORE, SCORE_BEFORE_FINETUNING))
        return Row(choices, trial.state.is_finished(), counts, *self.problem.values(scores).tolist())

    def _choices(self, rows: Iterable[Row]) -> NDArray[np.int64]:
        joined = b"".join(row.choices for row in rows)
        return np.frombuffer(joined, np.int64).reshape(-1, len(self.problem.space.distributions))
