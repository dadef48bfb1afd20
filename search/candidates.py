"""Every layer's choices with their errors and costs, as arrays: what allocation rules work on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..objectives.costs import Costs
from ..objectives.metrics import Metrics
from ..objectives.objective import Objective
from ..objectives.plan import Choice, Plan


@dataclass(frozen=True)
class Candidates:
    """The choices of ``L`` layers, padded to ``K``; a padded choice has infinite error.

    Choices of a layer are in ascending order of rank, ``dense`` comes last.
    """

    names: tuple[str, ...]
    choices: tuple[tuple[Choice, ...], ...]
    errors: NDArray[np.float64]
    """(L, K): relative error of the layer's output before fine-tuning, 0 for dense."""
    changes: NDArray[np.float64]
    """(L, K, 3): what the choice adds to the dense model's params, flops and bytes (negative: saves)."""
    costs: Costs

    @classmethod
    def of(cls, objective: Objective) -> Candidates:
        """Tabulate a prepared objective; layers for which only ``dense`` is left are not listed."""
        names, choices = tuple(objective.costs.choices), tuple(objective.costs.choices.values())
        width = max(map(len, choices))
        errors = np.full((len(names), width), np.inf)
        changes = np.zeros((len(names), width, len(Metrics._fields)))
        for row, (name, options) in enumerate(zip(names, choices, strict=True)):
            layer = objective.by_name[name]
            errors[row, : len(options)] = [objective.error(layer, choice) for choice in options]
            changes[row, : len(options)] = objective.costs.changes(layer, options)
        return cls(names, choices, errors, changes, objective.costs)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(L,): each layer's number of choices."""
        return np.array([len(options) for options in self.choices])

    def plan(self, picks: NDArray[np.int64]) -> Plan:
        """Return the plan that takes choice ``picks[l]`` in layer ``l``."""
        return Plan({n: c[i] for n, c, i in zip(self.names, self.choices, picks, strict=True)})

    def picks(self, plan: Plan) -> NDArray[np.int64]:
        """Return the index of each layer's choice; the inverse of `plan`."""
        return np.array([c.index(plan[n]) for n, c in zip(self.names, self.choices, strict=True)])
