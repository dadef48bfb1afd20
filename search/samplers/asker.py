"""Joins a sampler to an Optuna study: the sampler proposes, and Optuna is asked with the parameters fixed.

The trial is created and its slot claimed first, so that other workers see it; then the sampler proposes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from ...objectives.errors import RankfrontError
from ..space.arrays import Choices
from ..space.candidates import Candidates
from ..storage.study_storage import set_params
from .history import History
from .problem import Problem
from .registry import make_sampler, sampler_name
from .sampler import Sampler


@final
class Asker:
    """Has the parameters of a study's trials proposed by one sampler.

    Args:
        study: its ``sampler`` is replaced.
        problem: what the sampler proposes plans for.
        sampler: a name, an object with ``propose(history, slot)``, or an Optuna sampler.
    """

    def __init__(self, study: Study, problem: Problem, sampler: str | Sampler | BaseSampler) -> None:
        self.study = study
        self.problem = problem
        self.name = sampler_name(sampler)
        self._sampler = make_sampler(sampler)
        self._fixed = FixedSampler(sampler if isinstance(sampler, BaseSampler) else None)
        study.sampler = self._fixed

    def suggest(self, trial: Trial, slot: int) -> Choices:
        """Suggest all parameters of a new trial, and return its choices ``(L,)``.

        A trial whose parameters are given already (`optuna.Study.enqueue_trial`) keeps these.

        Raises:
            RankfrontError: the sampler returned something else than choices. What it raises itself passes.
        """
        space = self.problem.space
        frozen = self.study._storage.get_trial(trial._trial_id)
        given = frozen.system_attrs.get("fixed_params", {})
        if not space.distributions.keys() <= given.keys():
            proposed = self._sampler.propose(History(self.study, self.problem, frozen), slot)
            self._fixed.params = space.params(checked(proposed, space.candidates, self.name))
            if not given:
                set_params(trial, self._fixed.params, space.distributions)
        space.suggest(trial)
        return space.choices(trial.params)


@final
class FixedSampler(BaseSampler):
    """Returns fixed parameters; passes the trial's events on to the wrapped sampler."""

    def __init__(self, wrapped: BaseSampler | None = None) -> None:
        self.params: dict[str, int] = {}
        self._wrapped = wrapped

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: all parameters are given one by one."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing: all parameters are given one by one."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a parameter's given value."""
        return self.params[param_name]

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Pass it on."""
        if self._wrapped is not None:
            self._wrapped.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass it on; where the wrapped sampler finds no plan left to try (`Study.stop`), the study goes on."""
        if self._wrapped is not None:
            study._thread_local.in_optimize_loop = True  # without it `Study.stop` raises
            try:
                self._wrapped.after_trial(study, trial, state, values)
            finally:
                study._thread_local.in_optimize_loop = False


def checked(proposed: ArrayLike, candidates: Candidates, name: str) -> Choices:
    """Return what a sampler proposed as choices, an int64 array ``(L,)``.

    Raises:
        RankfrontError: naming the sampler, the rule and the value.
    """
    try:
        choices = np.asarray(proposed)
    except ValueError:  # rows of several lengths
        choices = np.array(None)
    layers = len(candidates.names)
    if choices.dtype.kind not in "iu":
        raise RankfrontError(f"sampler {name} must propose integers, one a layer, but got {proposed!r:.80}")
    if choices.shape != (layers,):
        raise RankfrontError(
            f"sampler {name} must propose an array of shape ({layers},), one integer a layer, but got {choices.shape}"
        )
    for layer, (choice, size) in enumerate(zip(choices.tolist(), candidates.sizes.tolist(), strict=True)):
        if not 0 <= choice < size:
            raise RankfrontError(
                f"sampler {name} must propose a choice from 0 to {size - 1} for layer {candidates.names[layer]}, "
                f"but got {choice}"
            )
    return choices.astype(np.int64)
