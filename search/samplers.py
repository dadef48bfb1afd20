"""The samplers on offer, by name: a new one is a new file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from ..objectives.errors import RankfrontError
from .directions import DirectionsSampler
from .fitted import FittedSampler
from .rule_sampler import RuleSampler
from .rules import RULES, Rule
from .space import Space

DEFAULT = "directions"


def _plugged(make: Callable[[int], BaseSampler]) -> Callable[[Space, int], BaseSampler]:
    return lambda space, seed: FittedSampler(make, space, seed)


def _ruled(rule: Rule) -> Callable[[Space, int], BaseSampler]:
    return lambda space, seed: RuleSampler(rule, space, seed)


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True)


def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, deterministic_objective=False)


SAMPLERS: dict[str, Callable[[Space, int], BaseSampler]] = {
    DEFAULT: DirectionsSampler,
    **{name: _ruled(rule) for name, rule in RULES.items()},
    "tpe": _plugged(_tpe),
    "nsga2": _plugged(lambda seed: NSGAIISampler(population_size=16, seed=seed)),
    "gp": _plugged(_gp),
    "random": _plugged(lambda seed: RandomSampler(seed=seed)),
}


def make_sampler(name: str, space: Space, seed: int) -> BaseSampler:
    """Return the sampler of that name, for that space.

    Raises:
        RankfrontError: an unknown name.
    """
    check_sampler(name)
    return SAMPLERS[name](space, seed)


def check_sampler(name: str) -> None:
    """Raise `RankfrontError` for a name that is not on offer."""
    if name not in SAMPLERS:
        raise RankfrontError(f"sampler must be one of {', '.join(SAMPLERS)}, but got {name!r:.60}")
