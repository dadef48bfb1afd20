"""A result as plain data: what ``run --json`` and ``front --json`` print."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .headline import headline_of
from .measured import setting_of

if TYPE_CHECKING:
    from ..space.budget import Budget
    from ..storage.trials import Scored
    from .finished import FinishedModel
    from .result import Result


def as_data(
    result: Result, rows: Sequence[dict[str, Any]], best: Scored | None, budget: Budget | None = None
) -> dict[str, Any]:
    """Return a result as JSON knows it.

    Args:
        result: the result.
        rows: of the front, see `tables.front_rows`.
        best: the best trial within the budget.
        budget: the one asked for, if it is not the study's own.
    """
    headline = headline_of(result) if budget is None else None
    return {
        "study": result.study.study_name,
        "folder": str(result.folder.path),
        "trials": len(result.records),
        "headline": None if headline is None else headline.sentence,
        "budget": str(budget or result.budget),
        **({} if (setting := setting_of(result)) is None else setting.plain()),
        "dense": {result.scale.name: result.dense.score, **result.dense.metrics},
        "best": None if best is None else best.trial,
        "front": [_plain(row) for row in rows],
        "finished": [_described(result, model) for model in result.finished],
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as JSON knows it, which has no NaN; the plan as an object."""
    known = {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
    return {**known, "plan": json.loads(row["plan"])}


def _described(result: Result, model: FinishedModel) -> dict[str, Any]:
    """Return a finished model as plain data."""
    return {
        "budget": model.budget,
        "trial": model.trial,
        "epochs": model.epochs,
        result.scale.name: model.score,
        f"test_{result.scale.name}": model.test,
        **model.metrics,
        "folder": str(model.folder),
    }
