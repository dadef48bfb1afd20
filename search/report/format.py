"""A trial's score and costs as text, the same wherever they are printed."""

from __future__ import annotations

from ...objectives.metrics.amounts import share_shown
from ...objectives.metrics.values import Metrics
from ..storage.dense import DenseModel


def trial_line(score: float, metrics: Metrics, dense: DenseModel) -> str:
    """Return a score and the share of the dense model's costs that is left, in columns."""
    shares = (f"{name} {share_shown(metrics[name], dense.metrics[name]):>6}" for name in dense.costs if name in metrics)
    return "   ".join([f"{dense.scale.name} {dense.scale.show(score):>8}", *shares])
