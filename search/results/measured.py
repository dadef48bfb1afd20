"""Latency of trials as it was measured on their whole networks; of those that were not measured, as predicted.

What keeps a budget on latency is decided by these: a share by the ratio to the dense network, both run in turn, an
amount by the time itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...objectives.engines.setting import MACHINE, EngineSetting
from ...objectives.errors import RankfrontError
from ...objectives.metrics.amounts import share_shown
from ...objectives.metrics.latency import LATENCY
from ...objectives.metrics.values import Metrics
from .speeds import MeasuredSpeed, speeds_in

if TYPE_CHECKING:
    from ..space.budget import Budget
    from ..storage.trials import Scored
    from .result import Result

MEASURED = ("measured_latency", "measured_latency_pct", "measured_latency_pct_low", "measured_latency_pct_high")
"""Columns of tables."""


def setting_of(result: Result) -> EngineSetting | None:
    """Return where the study measures latency; None where it does not."""
    return EngineSetting.of(result.identity)


def speeds_of(result: Result) -> dict[int, MeasuredSpeed]:
    """Return trial → its speed as the study measures it, the latest; trials that were not measured are left out."""
    setting = setting_of(result)
    if setting is None:
        return {}
    wanted = setting.engine.label, setting.batch_size, setting.threads, result.identity[MACHINE]
    return {s.trial: s for s in speeds_in(result.study) if (s.engine, s.batch_size, s.threads, s.machine) == wanted}


def as_measured(result: Result, trials: Sequence[Scored], budget: Budget) -> list[Scored]:
    """Return trials whose latency, where it was measured, is that.

    Raises:
        RankfrontError: the budget is on the latency in another engine than the study's.
    """
    setting = setting_of(result)
    if budget.engine is not None and (setting is None or setting.name != budget.engine):
        own = "no latency" if setting is None else f"that in {setting.name}"
        raise RankfrontError(
            f"budget {budget} must be on the latency that the study measures, but asks for {budget.engine}, and the "
            f"study has {own}"
        )
    if setting is None or LATENCY.name not in result.dense.metrics:
        return [*trials]
    by_share = all(bound.share is not None for bound in budget.bounds if bound.metric == LATENCY.name)
    dense, known = result.dense.metrics[LATENCY.name], speeds_of(result)

    def judged(trial: Scored) -> Scored:
        if (speed := known.get(trial.trial)) is None:
            return trial
        amount = dense / speed.speedup if by_share else 1e6 * speed.ms
        return replace(trial, metrics=Metrics({**trial.metrics, LATENCY.name: amount}))

    return [judged(trial) for trial in trials]


def measured_columns(speed: MeasuredSpeed | None) -> dict[str, float]:
    """Return the columns of a measured latency: nanoseconds, the percentage of the dense network's, its quartiles."""
    values = (math.nan,) * 4
    if speed is not None:
        values = (1e6 * speed.ms, 100 / speed.speedup, 100 / speed.high, 100 / speed.low)
    return dict(zip(MEASURED, values, strict=True))


def measured_shown(speed: MeasuredSpeed | None) -> str:
    """Return a measured latency in words, with its share of the dense network's and the quartiles; a dash for none.

    >>> measured_shown(MeasuredSpeed(3, "OpenVINO", 1, 2, 4.8, 2.0, 2.4, 2.3, 2.5, "a CPU"))
    '2 ms  41.7 % (40–43.5)'
    """
    if speed is None:
        return "–"
    low, high = 100 / speed.high, 100 / speed.low
    return f"{LATENCY.show(1e6 * speed.ms)}  {share_shown(1, speed.speedup)} ({low:.3g}–{high:.3g})"
