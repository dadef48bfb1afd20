"""Budgets: upper bounds on metrics, as a share of the dense model or as absolute values with units.

>>> budget = Budget.parse(["params=5%", "bytes=200KB"])
>>> str(budget)
'params=5%, bytes=200KB'
>>> budget.limits(Metrics(params=1_000, flops=10, bytes=4_000_000))
{'params': 50.0, 'bytes': 200000.0}
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...objectives.errors import RankfrontError
from ...objectives.metrics.count import Metrics

_SI = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BYTES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2.0**10, "MIB": 2.0**20, "GIB": 2.0**30}
UNITS = {"params": _SI, "flops": _SI, "bytes": _BYTES}
_EXAMPLES = {"params": "params=5% or params=200K", "flops": "flops=30% or flops=10M", "bytes": "bytes=200KB"}
_FORM = re.compile(r"\s*([a-zA-Z_]+)\s*=\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-zA-Z%]*)\s*")


@dataclass(frozen=True)
class Bound:
    """One upper bound: ``share`` of the dense model's metric, or ``absolute``."""

    metric: str
    text: str
    share: float | None
    absolute: float | None

    def limit(self, dense: Metrics) -> float:
        """Return the bound in the metric's own unit."""
        if self.share is not None:
            return self.share * getattr(dense, self.metric)
        assert self.absolute is not None
        return self.absolute


@dataclass(frozen=True)
class Budget:
    """Upper bounds on some of the metrics, at most one on each; none at all is a budget too."""

    bounds: tuple[Bound, ...] = ()

    @classmethod
    def parse(cls, texts: str | Sequence[str]) -> Budget:
        """Read ``"params=5%"``, several of these, or several in one text with commas between.

        Raises:
            RankfrontError: a text is malformed, or two bound the same metric.
        """
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
            raise RankfrontError(
                f"budget must be text such as params=5%, or a list of such texts, but got {texts!r:.60}"
            )
        bounds = [_bound(part) for text in texts for part in text.split(",")]
        names = [bound.metric for bound in bounds]
        for name in names:
            if names.count(name) > 1:
                raise RankfrontError(f"budget must bound a metric once, but bounds {name} {names.count(name)} times")
        return cls(tuple(bounds))

    def limits(self, dense: Metrics) -> dict[str, float]:
        """Return metric → upper bound, given what the dense model costs."""
        return {bound.metric: bound.limit(dense) for bound in self.bounds}

    def __str__(self) -> str:
        return ", ".join(bound.text for bound in self.bounds) or "none"


def _bound(text: str) -> Bound:
    match = _FORM.fullmatch(text)
    if match is None:
        raise RankfrontError(f"budget must read METRIC=AMOUNT, such as params=5%, but got {text.strip()!r:.60}")
    metric, number, unit = match[1], float(match[2]), match[3]
    if metric not in UNITS:
        raise RankfrontError(f"budget must be on one of {', '.join(UNITS)}, but got {metric!r:.60}")
    if number == 0:
        raise RankfrontError(f"budget must be positive (a share to keep: params=5%), but got {text.strip()!r:.60}")
    shown = f"{metric}={match[2]}{unit}"
    if unit == "%":
        if number > 100:
            raise RankfrontError(f"budget must be at most 100% of the dense model, but got {text.strip()!r:.60}")
        return Bound(metric, shown, number / 100, None)
    factor = UNITS[metric].get(unit.upper())
    if factor is None:
        what = f"unit {unit!r:.20}" if unit else "no unit"
        raise RankfrontError(
            f"budget on {metric} must carry % or one of {', '.join(UNITS[metric])} "
            f"({_EXAMPLES[metric]}), but {text.strip()!r:.60} has {what}"
        )
    return Bound(metric, shown, None, number * factor)


def check_possible(budget: Budget, dense: Metrics, smallest: Metrics) -> None:
    """Refuse a budget below the smallest possible plan.

    Args:
        budget: what is asked for.
        dense: what the dense model costs.
        smallest: the least of each metric that any plan reaches.

    Raises:
        RankfrontError: naming the smallest.
    """
    for metric, limit in budget.limits(dense).items():
        least = getattr(smallest, metric)
        if limit < least:
            share = math.ceil(10_000 * least / getattr(dense, metric)) / 10_000
            raise RankfrontError(
                f"budget {budget} is below the smallest possible plan: {metric} can be at least {least:,} "
                f"({share:.2%} of the dense model's {getattr(dense, metric):,}), but must be at most {limit:,.0f}"
            )
