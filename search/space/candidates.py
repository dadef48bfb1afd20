"""The options of every layer, with their errors and costs, as arrays: what allocation rules and samplers work on.

A plan is written as an array of ``choices (L,)``: the place of each layer's option in `Candidates.options`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ...objectives.component_slopes import component_slopes
from ...objectives.kinds.noise import noise_share
from ...objectives.kinds.registry import KINDS
from ...objectives.metrics.costs import Costs
from ...objectives.metrics.registry import LAYER_METRICS
from ...objectives.metrics.values import Metrics
from ...objectives.model.layer import Layer
from ...objectives.objective import Objective
from ...objectives.plan import DENSE, Choice, Plan
from .arrays import Array, Choices
from .dominance import non_dominated
from .passed_on import passed_on

BOTTLENECK_WEIGHT = 3.0
"""The relative error that a bottleneck of width 1 counts as; tuned on all models of ``benchmarks/search.py``."""

LARGEST_ERROR = 1e3
"""Larger relative errors are taken for this one: where an output hardly varies, any relative error is large."""


@dataclass(frozen=True)
class Candidates:
    """The options of ``L`` layers, padded to ``K`` options each; a padded option has an infinite error.

    The options of a layer are in ascending order of parameters, and ``dense`` comes last. An option is left out
    where another one has no more parameters, flops, bytes, error and bottleneck penalty.
    """

    names: tuple[str, ...]
    """(L,): the layers' names."""
    options: tuple[tuple[Choice, ...], ...]
    """For every layer its options."""
    importance: Array
    """(L, K): what an option's error costs the network's outputs, as a multiple of it (see `importance_at`)."""
    relative_errors: Array
    """(L, K): relative squared error of the layer's own output before fine-tuning; 0 for dense alone."""
    bottleneck_penalties: Array
    """(L, K): ``1 / width² - 1 / dense width²`` (see `Kind.width`), 0 for dense."""
    changes: Array
    """(L, K, M): what the option adds to each of the `metrics` (a negative amount saves)."""
    metrics: tuple[str, ...]
    """(M,): the metrics that are known before a network is built, in the order of the columns of `changes`."""
    costs: Costs
    find_slopes: Callable[[], Mapping[str, Array]] = dict
    """Returns `slopes`, which take a pass over data."""

    @classmethod
    def of(cls, objective: Objective) -> Candidates:
        """Tabulate a prepared objective; layers for which only ``dense`` is left are not listed."""
        metrics = objective.costs.names
        names: list[str] = []
        options: list[tuple[Choice, ...]] = []
        rows: list[tuple[Array, ...]] = []
        for name, every in objective.decompositions.options.items():
            layer = objective.by_name[name]
            is_dense = np.array([option == DENSE for option in every])
            relative = np.array([objective.decompositions.error(layer, option) for option in every]).clip(
                max=LARGEST_ERROR
            )
            change = objective.costs.changes(layer, every)
            widths = np.array([_width(layer, option) for option in every], float)
            penalty = 1 / widths**2 - 1 / layer.width**2
            order = np.lexsort((relative, *(change[:, metrics.index(name)] for name in reversed(LAYER_METRICS))))
            compared = np.where(is_dense, -1.0, relative)  # dense is always an option
            kept = order[non_dominated(np.column_stack((compared, penalty, change))[order])]
            names.append(name)
            options.append(tuple(every[i] for i in kept))
            rows.append((relative[kept], penalty[kept], change[kept]))
        width = max(map(len, options))
        relatives = np.full((len(names), width), np.inf)
        penalties = np.zeros((len(names), width))
        changes = np.zeros((len(names), width, len(metrics)))
        importance = np.ones((len(names), width))
        for row, (relative, penalty, change) in enumerate(rows):
            importance[row, : len(relative)] = objective.decompositions.importance_at(names[row], relative)
            relatives[row, : len(relative)] = relative
            penalties[row, : len(relative)] = penalty
            changes[row, : len(relative)] = change
        return cls(
            tuple(names),
            tuple(options),
            importance,
            relatives,
            penalties,
            changes,
            metrics,
            objective.costs,
            partial(component_slopes, objective),
        )

    @cached_property
    def errors(self) -> Array:
        """(L, K): what every option costs the network's outputs: relative errors as they are `passed_on`, weighed."""
        known = np.isfinite(self.relative_errors)
        counted = self.importance * passed_on(np.where(known, self.relative_errors, 0.0))
        return np.where(known, counted, np.inf)

    @cached_property
    def penalised_errors(self) -> Array:
        """(L, K): errors, with the bottleneck penalties as errors that fine-tuning does not remove."""
        return self.errors + BOTTLENECK_WEIGHT * self.bottleneck_penalties

    @cached_property
    def noise(self) -> Array:
        """(L,): the share of each layer's squared weights that is noise (see `noise_share`)."""
        return np.array([noise_share(self.costs.layers[name]) for name in self.names])

    @cached_property
    def slopes(self) -> Mapping[str, Array]:
        """Layer → ``(k,)``, what dropping each component of its ``svd`` adds to the loss (see `component_slopes`)."""
        return self.find_slopes()

    @cached_property
    def dense(self) -> Mapping[str, float]:
        """Metric → what the dense model costs."""
        return self._by_name(self.costs.dense)

    @cached_property
    def start(self) -> Mapping[str, float]:
        """Metric → what the model costs with every layer dense, as it is saved (see `Costs.start`)."""
        return self._by_name(self.costs.start)

    @cached_property
    def smallest(self) -> Mapping[str, float]:
        """Metric → the least that any plan of these options costs."""
        return self._by_name(self.costs.smallest(dict(zip(self.names, self.options, strict=True))))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(L,): each layer's number of options."""
        return np.array([len(options) for options in self.options])

    @cached_property
    def dense_choices(self) -> Choices:
        """(L,): the choices that leave all layers dense."""
        return self.sizes - 1

    def columns(self, metrics: Iterable[str]) -> list[int]:
        """Return the columns of `changes` that belong to these metrics."""
        return [self.metrics.index(metric) for metric in metrics]

    def plan(self, choices: Choices) -> Plan:
        """Return the plan that takes option ``choices[l]`` in layer ``l``."""
        return Plan({n: options[i] for n, options, i in zip(self.names, self.options, choices, strict=True)})

    def choices(self, plan: Plan) -> Choices:
        """Return the place of each layer's option, ``(L,)``; the inverse of `plan`."""
        return np.array([o.index(plan[n]) for n, o in zip(self.names, self.options, strict=True)])

    def costs_of(self, choices: NDArray[np.int64]) -> dict[str, Array]:
        """Return metric → ``(N,)``, the sums over layers of plans ``(N, L)``; see `exact_costs`."""
        changes = self.changes[np.arange(choices.shape[1]), choices].sum(1)
        return {metric: self.start[metric] + changes[:, column] for column, metric in enumerate(self.metrics)}

    def exact_costs(self, choices: Choices, metrics: Iterable[str]) -> dict[str, float]:
        """Return metric → what one plan ``(L,)`` costs, exactly: the sum over layers where that is exact."""
        summed = self.costs_of(choices[None])
        return {
            metric: float(summed[metric][0])
            if self.costs.is_additive(metric)
            else float(self.costs.amount(metric, self.plan(choices)))
            for metric in metrics
        }

    def violations(self, choices: Choices, limits: Mapping[str, float]) -> dict[str, float]:
        """Return metric → how far a plan ``(L,)`` exceeds its limit, as a share of it; 0 or less keeps it."""
        costs = self.exact_costs(choices, limits)
        return {metric: (costs[metric] - limit) / limit for metric, limit in limits.items()}

    def fits(self, choices: Choices, limits: Mapping[str, float]) -> tuple[bool, str]:
        """Return whether a plan ``(L,)`` keeps every limit, exactly, and which limits it exceeds, by how much."""
        over = {metric: share for metric, share in self.violations(choices, limits).items() if share > 0}
        return not over, ", ".join(f"{metric} is {share:.2%} over its limit" for metric, share in over.items())

    def _by_name(self, metrics: Metrics) -> dict[str, float]:
        return {metric: metrics[metric] for metric in self.metrics}


def _width(layer: Layer, choice: Choice) -> int:
    return layer.width if choice.rank is None else KINDS[choice.kind].width(layer, choice.rank)
