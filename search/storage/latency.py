"""The table of times that a study predicts latencies from: measured once, and stored with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...objectives.errors import RankfrontError
from ...objectives.metrics.latency import LATENCY
from ...objectives.metrics.latency_table import LatencyTable
from ...objectives.metrics.values import Metrics
from .dense import DenseModel

if TYPE_CHECKING:
    from optuna.study import Study

TABLE = "latency table"
"""The study's user attribute with it."""


def latency_table_of(study: Study) -> LatencyTable | None:
    """Return a study's table; None where it has none yet. Raises `RankfrontError` where it is damaged."""
    if TABLE not in study.user_attrs:
        return None
    try:
        return LatencyTable.read(study.user_attrs[TABLE])
    except (KeyError, TypeError, ValueError) as error:
        raise RankfrontError(
            f"study {study.study_name!r} must say how long its layers take, but is damaged there: {error}"
        ) from None


def keep_latency_table(study: Study, table: LatencyTable) -> None:
    """Store a study's table, and the dense model's latency beside what else it costs."""
    dense = DenseModel.of(study)
    metrics = Metrics({**dense.metrics, LATENCY.name: table.dense})
    DenseModel(dense.score, metrics, dense.samples, dense.scale).note(study)
    study.set_user_attr(TABLE, table.plain())
