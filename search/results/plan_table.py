"""A plan as a table along the network: what every layer becomes, what it cost and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from ...objectives.metrics.amounts import share_shown
from ...objectives.metrics.registry import LAYER_METRICS, METRICS, SIZE
from ...objectives.plan import DENSE, Choice
from ..storage.trials import Scored

if TYPE_CHECKING:
    from .result import Result

REST, TOTAL = "everything else", "the network"
"""What the last two rows are called."""


@dataclass(frozen=True)
class PlanRow:
    """One layer of a plan; of the last two rows, all that no plan changes, and the whole."""

    layer: str
    what: str
    """Its type and the shape of its weight; empty where the study does not say."""
    choice: Choice | None
    """None for the last two rows."""
    before: Mapping[str, float]
    """Metric → what it costs in the dense model; NaN where the study does not say."""
    after: Mapping[str, float]
    """Metric → what it costs in this plan."""
    kept: float
    """Share of its parameters that is left."""
    error: float
    """What allocation rules add up of it (see `Candidates.errors`); NaN of the last two rows, or where not known."""

    @property
    def kind(self) -> str:
        """The kind's name."""
        return "" if self.choice is None else self.choice.kind

    @property
    def rank(self) -> str:
        """The rank: ``8`` or ``16×24``; empty for dense."""
        return "" if self.choice is None else str(self.choice).removeprefix(self.kind).strip()


def plan_rows(result: Result, trial: Scored) -> list[PlanRow]:
    """Return a row a layer, in the network's order, then `REST` and `TOTAL`: costs add up to the network's."""
    rows = [_layer_row(result, trial, name, choice) for name, choice in trial.plan.items()]
    dense, own = _of_layers(result.dense.metrics), _of_layers(trial.metrics)
    before, after = (
        {metric: amount - math.fsum(getattr(row, side)[metric] for row in rows) for metric, amount in whole.items()}
        for side, whole in (("before", dense), ("after", own))
    )
    return [
        *rows,
        PlanRow(REST, "", None, before, after, after[SIZE] / (before[SIZE] or math.nan), math.nan),
        PlanRow(TOTAL, "", None, dense, own, own[SIZE] / (dense[SIZE] or math.nan), math.nan),
    ]


def _layer_row(result: Result, trial: Scored, name: str, choice: Choice) -> PlanRow:
    known = result.layers.get(name)
    option = None if known is None else known.options.get(choice)
    if known is None or option is None:
        unknown = dict.fromkeys(LAYER_METRICS, math.nan)
        kept = trial.shares.get(name, 1.0 if choice == DENSE else math.nan)
        return PlanRow(name, "", choice, unknown, unknown, kept, math.nan)
    kept = option.costs[SIZE] / (known.dense.costs[SIZE] or math.nan)
    return PlanRow(name, known.what, choice, known.dense.costs, option.costs, kept, option.error)


def _of_layers(metrics: Mapping[str, float]) -> dict[str, float]:
    return {metric: metrics.get(metric, math.nan) for metric in LAYER_METRICS}


def plan_shown(rows: list[PlanRow]) -> Table:
    """Return a plan as a table of text; errors as shares of their sum."""
    error = math.fsum(row.error for row in rows if row.choice is not None)
    table = Table("layer", "kind", "rank", box=None, pad_edge=False)
    for metric in LAYER_METRICS:
        table.add_column(f"{metric} before", justify="right")
        table.add_column("after", justify="right")
        table.add_column("kept", justify="right")
    table.add_column("error", justify="right")
    table.columns[2].justify = "right"
    for row in rows:
        costs = []
        for metric in LAYER_METRICS:
            show, before, after = METRICS[metric].show, row.before[metric], row.after[metric]
            kept = share_shown(row.kept, 1) if metric == SIZE else share_shown(after, before)
            costs += [show(before), show(after), kept]
        table.add_row(row.layer, row.kind, row.rank, *costs, share_shown(row.error, error))
    return table
