"""The allocation rules by name: a new rule is one file and one line here.

This module imports none of them: the command line lists their names without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..space.arrays import Choices
    from ..space.candidates import Candidates

    Rule = Callable[[Candidates, Mapping[str, float]], Choices | None]
    """``rule(candidates, limits)`` → choices within the limits (metric → upper bound), None where no plan fits."""

RULES = ("uniform", "energy", "interpolated", "evbmf", "zero_sum", "knapsack", "exact", "bottleneck")
"""Each is the function of that name in the module of that name."""


def rule_named(name: str) -> Rule:
    """Return a rule."""
    return getattr(import_module(f".{name}", __package__), name)
