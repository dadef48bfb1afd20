"""What the page's slider needs: budgets on each metric, and the best trial under each; every trial's plan."""

from __future__ import annotations

import itertools
import json
import math
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError
from ...objectives.metrics.amounts import share_shown, shown
from ...objectives.metrics.registry import LAYER_METRICS, METRICS, SIZE
from ..results.best import best_or_none
from ..results.front import best_within, front_of
from ..results.headline import times
from ..results.plan_table import plan_rows
from ..space.budget import Budget

if TYPE_CHECKING:
    from ..results.plan_table import PlanRow
    from ..results.result import Result
    from ..space.layer_table import LayerOptions
    from ..storage.trials import Scored

ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8)
"""Budgets that are offered in each decade of percent, besides those that trials just keep."""

CURVE_POINTS = 24
"""Of a layer's errors against its size, at most."""


def budget_data(result: Result) -> dict[str, Any]:
    """Return, as plain data, budgets from the tightest to the loosest, and the trials that are best under any."""
    front = front_of(result.retained, result.dense.costs)
    stops = {metric: _stops(result, front, metric) for metric in result.dense.costs}
    chosen = {stop["trial"] for some in stops.values() for stop in some} | {t.trial for t in result.on_front}
    best = best_or_none(result)
    if best is not None:
        chosen.add(best.trial)
    trials = [t for t in result.retained if t.trial in chosen]
    table: dict[str, int] = {}
    metric = next((bound.metric for bound in result.budget.bounds), next(iter(stops), None))
    return {
        "stops": stops,
        "metric": metric,
        "start": _start(stops.get(metric or "", []), best),
        "best": None if best is None else best.trial,
        "command": f"rankfront export {shlex.quote(str(result.folder.path))} --to best.safetensors --budget ",
        "axis": result.scale.axis[0],
        "trials": {t.trial: {**_trial(result, t), "plan": _plan(result, t, table)} for t in trials},
        "layers": _layers(result, trials),
        "rows": [json.loads(row) for row in table],
    }


def _start(stops: Sequence[dict[str, Any]], best: Scored | None) -> int:
    """Return the place of the loosest budget under which the study's best is the best."""
    return max((n for n, stop in enumerate(stops) if best is not None and stop["trial"] == best.trial), default=0)


def _stops(result: Result, front: Sequence[Scored], metric: str) -> list[dict[str, Any]]:
    """Return budgets on a metric as ``METRIC=AMOUNT``, each with the trial that is best under it."""
    whole = result.dense.metrics[metric]
    costs = [t.metrics[metric] for t in front if metric in t.metrics]
    if not costs or not whole:
        return []
    least, most = 100 * min(costs) / whole, min(100.0, 100 * max(costs) / whole)
    decades = range(math.floor(math.log10(least or 1e-6)), 3)
    rounded = (m * 10.0**e for e in decades for m in ROUND)
    texts = {f"{share:.6g}" for share in rounded if least <= share <= max(most, 1e-6)}
    texts |= {percent_above(cost, whole) for cost in costs if cost <= whole}
    own = [bound.share for bound in result.budget.bounds if bound.metric == metric and bound.share is not None]
    texts |= {f"{100 * share:.6g}" for share in own if 100 * share >= least}
    stops = []
    for text in sorted(texts, key=float):
        budget = Budget.of(f"{metric}={text}%")
        try:
            trial = best_within(front, budget, result.dense.metrics)
        except RankfrontError:  # a round share a hair below the smallest trial's
            continue
        limit = budget.limits(result.dense.metrics)[metric]
        stops.append(
            {"budget": str(budget), "share": float(text), "amount": METRICS[metric].show(limit), "trial": trial.trial}
        )
    return stops


def percent_above(amount: float, whole: float) -> str:
    """Return the share in percent, in three digits, rounded up, so that it is a budget that the amount keeps.

    >>> percent_above(22624, 226794), percent_above(1, 3), percent_above(5, 5)
    ('9.98', '33.4', '100')
    """
    share = 100 * amount / whole
    digits = 2 - math.floor(math.log10(share)) if share else 2
    count = math.ceil(share * 10.0**digits)
    while float(f"{count / 10.0**digits:.12g}") / 100 * whole < amount:
        count += 1
    return f"{count / 10.0**digits:.12g}"


def _trial(result: Result, trial: Scored) -> dict[str, Any]:
    scale, dense = result.scale, result.dense
    interval, test, test_interval = result.interval(trial), result.test_score(trial.trial), None
    if test is not None:
        test_interval = result.test_interval(trial.trial)
    return {
        "score": trial.score,
        "validation": scale.show(trial.score),
        "interval": "" if interval is None else scale.show_interval(*interval),
        "test": "" if test is None else scale.show(test),
        "test_interval": "" if test_interval is None else scale.show_interval(*test_interval),
        "costs": {
            name: {
                "amount": METRICS[name].show(trial.metrics[name]),
                "share": 100 * trial.metrics[name] / dense.metrics[name] if dense.metrics[name] else None,
                "shown": share_shown(trial.metrics[name], dense.metrics[name]),
                "times": times(dense.metrics[name], trial.metrics[name]),
            }
            for name in dense.costs
            if name in trial.metrics
        },
    }


def _layers(result: Result, trials: Iterable[Scored]) -> list[dict[str, Any]]:
    """Return the rows of every plan's table, as the dense model has them."""
    first = next(iter(trials), None)
    if first is None:
        return []
    return [
        {
            "name": row.layer,
            "what": row.what,
            "layer": row.choice is not None,
            "curve": _curve(result.layers.get(row.layer)),
            "before": [shown(row.before[metric]) for metric in LAYER_METRICS],
        }
        for row in plan_rows(result, first)
    ]


def _curve(layer: LayerOptions | None) -> list[list[float | None]]:
    """Return the least error of a layer against the share of its parameters, ``[share, error]`` in ascending order."""
    if layer is None:
        return []
    whole = layer.dense.costs[SIZE] or math.nan
    points = sorted((option.costs[SIZE] / whole, option.error) for option in layer.options.values())
    least = list(itertools.accumulate((error for _, error in points), min))
    curve = [[number(share), number(error)] for (share, _), error in zip(points, least, strict=True) if error > 0]
    return curve[:: -(-len(curve) // CURVE_POINTS) or 1]


def _plan(result: Result, trial: Scored, table: dict[str, int]) -> list[int]:
    """Return the places of a plan's rows in a table of all, to which new ones are added: plans have most in common."""
    return [table.setdefault(json.dumps(_row(row)), len(table)) for row in plan_rows(result, trial)]


def _row(row: PlanRow) -> list[Any]:
    """Return one row of a plan: kind, rank, error; and for each metric the amount and the share that is kept."""
    shares = {metric: row.after[metric] / (row.before[metric] or math.nan) for metric in LAYER_METRICS}
    shares[SIZE] = row.kept
    costs = [[shown(row.after[name]), share_shown(kept, 1), number(kept)] for name, kept in shares.items()]
    return [row.kind, row.rank, number(row.error), *costs]


def number(amount: float) -> float | None:
    """Return a number in four digits as JSON knows it, which has no NaN."""
    return None if math.isnan(amount) else float(f"{amount:.4g}")
