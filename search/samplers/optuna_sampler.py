"""Any Optuna sampler as one of ours: asked for all parameters together, its proposal repaired to the budget.

What is stored is the repaired plan, which was evaluated: so the Optuna sampler learns from that.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import final

from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from ..allocation.repair import repaired
from ..space.arrays import Choices
from .history import History
from .sampler import Sampler
from .untried import WithoutRepeats


@final
@dataclass(frozen=True)
class OptunaSampler:
    """The proposals of the Optuna sampler that ``make(seed)`` returns, repaired."""

    make: Callable[[int], BaseSampler]
    """Called for every proposal with the seed of its slot, so that a resumed study goes on as an undisturbed one."""

    def propose(self, history: History, slot: int, /) -> Choices:
        """Return the Optuna sampler's proposal, or the nearest choices that keep the limits."""
        problem, study, trial = history.problem, history.study, copy(history.trial)
        sampler = self.make(problem.seed_of(slot))
        relative = sampler.sample_relative(study, trial, sampler.infer_relative_search_space(study, trial))
        for name, distribution in problem.space.distributions.items():
            value = relative[name] if name in relative else sampler.sample_independent(study, trial, name, distribution)
            # As when Optuna suggests: the next parameter's sampling may look at those before it.
            trial.params = {**trial.params, name: value}
            trial.distributions = {**trial.distributions, name: distribution}
        return repaired(problem.space, problem.space.choices(trial.params))


def seeded(make: Callable[[int], BaseSampler]) -> Sampler:
    """Return a sampler of ours from a function that makes an Optuna sampler from a seed."""
    return WithoutRepeats(OptunaSampler(make))


def as_it_is(sampler: BaseSampler) -> Sampler:
    """Return a sampler of ours from an Optuna sampler of the user's, seeded by the user and used for all proposals."""
    return WithoutRepeats(OptunaSampler(lambda _: sampler))


def tpe() -> Sampler:
    """Return the sampler ``tpe``."""
    return seeded(lambda seed: TPESampler(seed=seed, multivariate=True))


def nsga2() -> Sampler:
    """Return the sampler ``nsga2``."""
    return seeded(lambda seed: NSGAIISampler(population_size=16, seed=seed))


def gp() -> Sampler:
    """Return the sampler ``gp``."""
    return seeded(lambda seed: GPSampler(seed=seed, deterministic_objective=False))


def random() -> Sampler:
    """Return the sampler ``random``."""
    return seeded(lambda seed: RandomSampler(seed=seed))
