"""The samplers on offer, by name: a new one is a new file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from ...objectives.errors import RankfrontError
from ..allocation.rules import RULES, Rule
from .directions.sampler import DirectionsSampler
from .fitted import FittedSampler
from .greedy import GreedySampler
from .problem import Problem
from .rule import RuleSampler

DEFAULT = "directions"


def _plugged(make: Callable[[int], BaseSampler]) -> Callable[[Problem], BaseSampler]:
    return lambda problem: FittedSampler(make, problem)


def _ruled(rule: Rule) -> Callable[[Problem], BaseSampler]:
    return lambda problem: RuleSampler(rule, problem)


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True)


def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, deterministic_objective=False)


SAMPLERS: dict[str, Callable[[Problem], BaseSampler]] = {
    DEFAULT: DirectionsSampler,
    "greedy": GreedySampler,
    **{name: _ruled(rule) for name, rule in RULES.items()},
    "tpe": _plugged(_tpe),
    "nsga2": _plugged(lambda seed: NSGAIISampler(population_size=16, seed=seed)),
    "gp": _plugged(_gp),
    "random": _plugged(lambda seed: RandomSampler(seed=seed)),
}


def make_sampler(name: str, problem: Problem) -> BaseSampler:
    """Return the sampler of that name, for that problem.

    Raises:
        RankfrontError: an unknown name.
    """
    check_sampler(name)
    return SAMPLERS[name](problem)


def check_sampler(name: str) -> None:
    """Raise `RankfrontError` for a name that is not on offer."""
    if name not in SAMPLERS:
        raise RankfrontError(f"sampler must be one of {', '.join(SAMPLERS)}, but got {name!r:.60}")
