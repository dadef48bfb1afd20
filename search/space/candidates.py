"""Every layer's choices with their errors and costs, as arrays: what allocation rules work on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...objectives.kinds.noise import noise_share
from ...objectives.kinds.registry import KINDS
from ...objectives.metrics.costs import Costs
from ...objectives.metrics.values import Metrics
from ...objectives.model.layer import Layer
from ...objectives.objective import Objective
from ...objectives.plan import DENSE, Choice, Plan
from ..results.front import non_dominated

NARROW = 3.0
"""Relative errors that a layer counts as through which but one dimension passes."""

WORST = 1e3
"""Relative errors beyond are taken for this: outputs that hardly vary make any error large."""


@dataclass(frozen=True)
class Candidates:
    """The choices of ``L`` layers, padded to ``K``; a padded choice has infinite error.

    Choices of a layer are in ascending order of parameters, ``dense`` comes last; none is there that another of
    no more parameters, flops, bytes, error and narrowness makes needless.
    """

    names: tuple[str, ...]
    choices: tuple[tuple[Choice, ...], ...]
    errors: NDArray[np.float64]
    """(L, K): relative error of the layer's output before fine-tuning, 0 for dense."""
    narrowness: NDArray[np.float64]
    """(L, K): ``1 / width² - 1 / dense width²`` (see `Kind.width`), 0 for dense."""
    changes: NDArray[np.float64]
    """(L, K, 3): what the choice adds to the dense model's params, flops and bytes (negative: saves)."""
    costs: Costs

    @classmethod
    def of(cls, objective: Objective) -> Candidates:
        """Tabulate a prepared objective; layers for which only ``dense`` is left are not listed."""
        names: list[str] = []
        choices: list[tuple[Choice, ...]] = []
        rows: list[tuple[NDArray[np.float64], ...]] = []
        for name, options in objective.decompositions.choices.items():
            layer = objective.by_name[name]
            error = np.array([objective.decompositions.error(layer, choice) for choice in options]).clip(max=WORST)
            change = objective.costs.changes(layer, options)
            widths = np.array([_width(layer, choice) for choice in options], float)
            narrow = 1 / widths**2 - 1 / layer.width**2
            order = np.lexsort((error, *change.T[1::-1]))
            judged = np.where([choice == DENSE for choice in options], -1.0, error)  # dense is always a choice
            kept = order[non_dominated(np.column_stack((judged, narrow, change))[order])]
            names.append(name)
            choices.append(tuple(options[i] for i in kept))
            rows.append((error[kept], narrow[kept], change[kept]))
        width = max(map(len, choices))
        errors = np.full((len(names), width), np.inf)
        narrowness = np.zeros((len(names), width))
        changes = np.zeros((len(names), width, len(objective.costs.names)))
        for row, (error, narrow, change) in enumerate(rows):
            errors[row, : len(error)] = error
            narrowness[row, : len(error)] = narrow
            changes[row, : len(error)] = change
        return cls(tuple(names), tuple(choices), errors, narrowness, changes, objective.costs)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The columns of `changes`: the metrics that are known before building."""
        return self.costs.names

    @cached_property
    def harm(self) -> NDArray[np.float64]:
        """(L, K): errors, and bottlenecks as errors that no fine-tuning mends."""
        return self.errors + NARROW * self.narrowness

    @cached_property
    def noise(self) -> NDArray[np.float64]:
        """(L,): the share of each layer's weights that is noise (see `noise_share`)."""
        return np.array([noise_share(self.costs.layers[name]) for name in self.names])

    @cached_property
    def smallest(self) -> Metrics:
        """The least of each metric that any plan of these choices reaches."""
        return self.costs.smallest(dict(zip(self.names, self.choices, strict=True)))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(L,): each layer's number of choices."""
        return np.array([len(options) for options in self.choices])

    def plan(self, picks: NDArray[np.int64]) -> Plan:
        """Return the plan that takes choice ``picks[l]`` in layer ``l``."""
        return Plan({n: c[i] for n, c, i in zip(self.names, self.choices, picks, strict=True)})

    def costs_of(self, picks: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return metric → (N,), what plans ``(N, L)`` cost; bytes but for a few of the file's header."""
        changes = self.changes[np.arange(picks.shape[1]), picks].sum(1)
        return {m: self.costs.start[m] + changes[:, i] for i, m in enumerate(self.metrics)}

    def picks(self, plan: Plan) -> NDArray[np.int64]:
        """Return the index of each layer's choice; the inverse of `plan`."""
        return np.array([c.index(plan[n]) for n, c in zip(self.names, self.choices, strict=True)])


def _width(layer: Layer, choice: Choice) -> int:
    return layer.width if choice.rank is None else KINDS[choice.kind].width(layer, choice.rank)
