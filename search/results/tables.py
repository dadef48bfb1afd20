"""The front and all trials as tables: pandas DataFrames, and the front also as plain rows, without pandas."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..storage.trials import TEST, Interval, Record
from .measured import measured_columns, setting_of, speeds_of

if TYPE_CHECKING:
    import pandas as pd

    from .result import Result


def front_table(result: Result) -> pd.DataFrame:
    """Return the front, one row a trial, the cheapest first: see `Result.front`."""
    import pandas as pd

    rows = front_rows(result)
    return pd.DataFrame(rows, columns=None if rows else ["trial", result.scale.name, *result.dense.costs])


def front_rows(result: Result) -> list[dict[str, Any]]:
    """Return the rows of `front_table`, column → value: the plan is JSON, what a trial does not have is NaN."""
    score, dense = result.scale.name, result.dense
    tested = TEST in result.study.user_attrs
    setting, speeds = setting_of(result), speeds_of(result)
    rows = []
    for t in result.on_front:
        costs = {name: t.metrics.get(name, math.nan) for name in dense.costs}
        row: dict[str, Any] = {"trial": t.trial, score: t.score, **costs}
        row[f"{score}_pct"] = 100 * t.score / dense.score if dense.score else math.nan
        row |= {f"{m}_pct": 100 * v / dense.metrics[m] if dense.metrics[m] else math.nan for m, v in costs.items()}
        row |= {} if setting is None else measured_columns(speeds.get(t.trial))
        row |= _ends(result, score, result.interval(t))
        average = result.scale.minimised(t.corrected)  # turns the sign back
        row |= {"runs": t.runs, f"{score}_mean": average if t.runs > 1 else math.nan}
        if tested:
            test = result.test_score(t.trial)
            test = math.nan if test is None else test
            row |= {f"test_{score}": test, **_ends(result, f"test_{score}", result.test_interval(t.trial))}
        rows.append({**row, "plan": json.dumps(t.plan.to_json(), ensure_ascii=False)})
    return rows


def _ends(result: Result, column: str, interval: Interval | None) -> dict[str, float]:
    """Return the 95 % interval's two columns; none for a score that has no intervals."""
    if not result.has_intervals:
        return {}
    low, high = interval or (math.nan, math.nan)
    return {f"{column}_low": low, f"{column}_high": high}


def trial_table(records: Iterable[Record], score: str, costs: Sequence[str]) -> pd.DataFrame:
    """Return one row a trial.

    Columns: ``trial`` (number), ``state``, ``feasible``, the score under its own name (such as ``accuracy``), one
    for each of ``costs`` (metrics), ``seconds``, ``reason`` (of a failed or pruned trial), ``plan`` (a `Plan`). What a
    trial does not have is missing.
    """
    import pandas as pd

    rows = [
        {
            "trial": r.trial,
            "state": r.state,
            "feasible": r.feasible,
            score: r.score,
            **{name: None if r.metrics is None else r.metrics.get(name) for name in costs},
            "seconds": r.seconds,
            "reason": r.reason,
            "plan": r.plan,
        }
        for r in records
    ]
    columns = ["trial", "state", "feasible", score, *costs, "seconds", "reason", "plan"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype(dict.fromkeys((score, *costs, "seconds"), "float64"))
