"""A trial's score and costs as text, the same wherever they are printed."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...objectives.metrics.amounts import share_shown
from ...objectives.metrics.registry import METRICS
from ...objectives.metrics.values import Metrics
from ...objectives.plan import Plan
from ..storage.dense import DenseModel

STORED = "stored"
"""The kind whose factors are multiplied in every pass."""


def flops_note(plan: Plan, metrics: Metrics, dense: DenseModel) -> str:
    """Return why a network costs more flops than the dense model; nothing where it does not, or no kind explains it."""
    layers = [name for name, choice in plan.items() if choice.kind == STORED]
    if not layers or metrics.get("flops", 0) <= dense.metrics.get("flops", math.inf):
        return ""
    which = f"{layers[0]} …" if len(layers) > 1 else layers[0]
    return (
        f"flops rise above the dense model's where a weight is {STORED} as factors ({which}): every pass multiplies "
        f"them, so the kind {STORED} saves params and bytes alone"
    )


def spent(seconds: Mapping[str, float]) -> str:
    """Return where trials' time went, the longest first; what took less than a hundredth is left out.

    >>> spent({"training": 180.0, "scoring": 60.0, "storing": 0.5})
    '4 min in trials: training 75 %, scoring 25 %'
    """
    whole = sum(seconds.values())
    shares = ", ".join(
        f"{phase} {each / whole:.0%}".replace("%", " %") for phase, each in seconds.items() if each >= whole / 100
    )
    return f"{duration(whole)} in trials: {shares}"


def duration(seconds: float) -> str:
    """Return a duration in its largest unit.

    >>> duration(42.4), duration(180), duration(5400)
    ('42 s', '3 min', '1.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5000 else f"{seconds / 3600:.1f} h"


def trial_line(score: float, metrics: Metrics, dense: DenseModel) -> str:
    """Return a score and the share of the dense model's costs that is left, in columns."""
    (name, shown), *shares = _figures(score, metrics, dense)
    return "   ".join([f"{name} {shown:>8}", *(f"{title} {share:>6}" for title, share in shares)])


def trial_words(score: float, metrics: Metrics, dense: DenseModel) -> str:
    """Return what `trial_line` does as part of a sentence."""
    return ", ".join(f"{name} {shown}" for name, shown in _figures(score, metrics, dense))


def _figures(score: float, metrics: Metrics, dense: DenseModel) -> list[tuple[str, str]]:
    costs = [name for name in dense.costs if name in metrics]
    shares = [(METRICS[name].title, share_shown(metrics[name], dense.metrics[name])) for name in costs]
    return [(dense.scale.name, dense.scale.show(score)), *shares]
