"""The samplers on offer, by name: a new one is a file, and one line here.

This module imports neither them nor torch, Optuna or SciPy: the command line lists the names quickly.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from ...objectives.described import did_you_mean, shown
from ...objectives.errors import RankfrontError
from ..allocation.registry import RULES

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from typing_extensions import TypeIs

    from .sampler import Sampler

DEFAULT = "directions"

SAMPLERS: dict[str, tuple[str, ...]] = {
    DEFAULT: (".directions.sampler", "directions"),
    "greedy": (".greedy", "greedy"),
    **{rule: (".rule", "rule_sampler", rule) for rule in RULES},
    "tpe": (".optuna_sampler", "tpe"),
    "nsga2": (".optuna_sampler", "nsga2"),
    "gp": (".optuna_sampler", "gp"),
    "random": (".optuna_sampler", "random"),
}
"""Name → the module here, the function there that makes the sampler, and what it is called with."""


def check_sampler(sampler: object) -> None:
    """Refuse what is no sampler.

    Raises:
        RankfrontError: an unknown name, or an object that cannot propose.
    """
    if isinstance(sampler, str):
        if sampler not in SAMPLERS:
            meant = did_you_mean(sampler, SAMPLERS)
            raise RankfrontError(f"sampler must be one of {', '.join(SAMPLERS)}, but got {sampler!r:.60}{meant}")
    elif isinstance(sampler, type) or not (callable(getattr(sampler, "propose", None)) or _is_optunas(sampler)):
        raise RankfrontError(
            f"sampler must be one of {', '.join(SAMPLERS)}, an Optuna sampler, or an object with "
            f"propose(history, slot), but got {shown(sampler)}"
        )


def sampler_name(sampler: str | Sampler | BaseSampler) -> str:
    """Return what identifies a sampler in a study: its name, or its class's qualified name."""
    return sampler if isinstance(sampler, str) else f"{type(sampler).__module__}.{type(sampler).__qualname__}"


def make_sampler(sampler: str | Sampler | BaseSampler) -> Sampler:
    """Return the sampler of that name, or the user's own; an Optuna sampler's proposals are repaired to the budget.

    Raises:
        RankfrontError: see `check_sampler`.
    """
    check_sampler(sampler)
    if isinstance(sampler, str):
        module, function, *arguments = SAMPLERS[sampler]
        return getattr(import_module(module, __package__), function)(*arguments)
    if not _is_optunas(sampler):
        return sampler
    from .optuna_sampler import as_it_is

    return as_it_is(sampler)


def _is_optunas(sampler: object) -> TypeIs[BaseSampler]:
    """Return whether an object is an Optuna sampler; who has one has imported Optuna."""
    optuna = sys.modules.get("optuna.samplers")
    return optuna is not None and isinstance(sampler, optuna.BaseSampler)
