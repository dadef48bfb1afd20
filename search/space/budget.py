"""Budgets: upper bounds on metrics, as a share of the dense model or as absolute amounts with units.

>>> budget = Budget.of(["params=5%", "bytes=200KB"])
>>> str(budget)
'params=5%, bytes=200KB'
>>> budget.limits(Metrics(params=1_000, flops=10, bytes=4_000_000))
{'params': 50.0, 'bytes': 200000.0}

A bound may say how far down the front goes: the project's own samplers aim at nothing below it.

>>> Budget.of("params=60%..95%").down_to(Metrics(params=1_000, flops=10, bytes=4_000_000))
{'params': 600.0}
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from ...objectives.described import did_you_mean, shown
from ...objectives.engines.registry import engine_named
from ...objectives.errors import RankfrontError
from ...objectives.metrics.latency import LATENCY
from ...objectives.metrics.registry import METRICS
from ...objectives.metrics.values import Metrics
from ..storage.identity import SCORE
from .floor import NAMES, Floor, read_floor

NONE = "none"
"""What a budget without a bound is called."""

TIMES = ("time", "ms", "seconds", "speed", "throughput")
"""What people call latency."""

HOW = ": it is measured in a study that bounds it, or is given an engine"
"""How a study gets latencies."""

_AMOUNT = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-zA-Z%]*)\s*"
_COMMA = re.compile(r"\d\s*,\s*\d")
_FORM = re.compile(rf"\s*([a-zA-Z_]+)\s*=\s*(?:{_AMOUNT}\.\.\s*)?{_AMOUNT}")


@dataclass(frozen=True)
class Bound:
    """One upper bound: ``share`` of the dense model's metric, or ``absolute``."""

    metric: str
    text: str
    share: float | None
    absolute: float | None
    down_to: Bound | None = None
    """The smallest amount that is worth a trial, where the user gave one."""
    engine: str | None = None
    """The engine in which latency is bounded, where it was named: ``latency@openvino=60%``."""

    def limit(self, dense: Metrics) -> float:
        """Return the bound as an amount of the metric."""
        if self.share is not None:
            return self.share * dense[self.metric]
        assert self.absolute is not None
        return self.absolute


@dataclass(frozen=True)
class Budget:
    """Upper bounds on some of the metrics, at most one on each; no bound at all is a budget, too."""

    bounds: tuple[Bound, ...] = ()
    floor: Floor | None = None
    """The worst score that the best network may have. Trials may have a worse one: it is known only afterwards."""

    @classmethod
    def of(cls, texts: str | Sequence[str] | Budget) -> Budget:
        """Return a budget as it is, or read one.

        Args:
            texts: ``"params=5%"``, several of these, or several in one text with commas between; ``"none"``: no bound.

        Raises:
            RankfrontError: a text is malformed, two bound the same metric, or a bound stands beside ``"none"``.
        """
        if isinstance(texts, Budget):
            return texts
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
            raise RankfrontError(
                f"budget must be text such as params=5%, or a list of such texts, but got {shown(texts)}"
            )
        for text in texts:
            if _COMMA.search(text):
                raise RankfrontError(
                    "budget must have numbers without a comma, decimals with a point (params=2.5%), "
                    f"but got {text!r:.60}"
                )
        parts = [part for text in texts for part in text.split(",")]
        if any(part.strip() == NONE for part in parts):
            if len(parts) > 1:
                raise RankfrontError(f"budget must be {NONE} or bounds, but got both: {','.join(parts)!r:.60}")
            return cls()
        floors = [floor for part in parts if (floor := read_floor(part)) is not None]
        bounds = [_bound(part) for part in parts if read_floor(part) is None]
        names = [*(bound.metric for bound in bounds), *(SCORE for _ in floors)]
        for name in names:
            if names.count(name) > 1:
                raise RankfrontError(f"budget must bound a metric once, but bounds {name} {names.count(name)} times")
        return cls(tuple(bounds), floors[0] if floors else None)

    @property
    def engine(self) -> str | None:
        """The engine that a bound on latency names."""
        return next((bound.engine for bound in self.bounds if bound.engine is not None), None)

    def on(self, metrics: Container[str]) -> Budget:
        """Return the bounds on these metrics alone."""
        return replace(self, bounds=tuple(bound for bound in self.bounds if bound.metric in metrics))

    def limits(self, dense: Metrics) -> dict[str, float]:
        """Return metric → upper bound, given what the dense model costs.

        Raises:
            RankfrontError: a metric is bounded that is not known of the dense model (of a study older than the metric).
        """
        for bound in self.bounds:
            if bound.metric not in dense:
                raise RankfrontError(
                    f"budget {self} must be on metrics that the study measured ({', '.join(dense)}), "
                    f"but it has no {bound.metric}" + (HOW if bound.metric == LATENCY.name else "")
                )
        return {bound.metric: bound.limit(dense) for bound in self.bounds}

    def down_to(self, dense: Metrics) -> dict[str, float]:
        """Return metric → the smallest amount worth a trial, of the bounds that have one.

        Raises:
            RankfrontError: it is no smaller than the bound itself.
        """
        limits = self.limits(dense)
        found = {bound.metric: bound.down_to.limit(dense) for bound in self.bounds if bound.down_to is not None}
        for bound in self.bounds:
            if found.get(bound.metric, 0) >= limits[bound.metric]:
                raise RankfrontError(f"budget {bound.text} must read LEAST..MOST, but its least is not below its most")
        return found

    def __str__(self) -> str:
        return ", ".join(bound.text for bound in (*self.bounds, *filter(None, [self.floor]))) or NONE


def _bound(text: str) -> Bound:
    named, _, given = (part.strip() for part in text.partition("="))
    name, at, engine = (part.strip() for part in named.partition("@"))
    if at and name == LATENCY.name:
        return replace(_bound(f"{name}={given}"), engine=engine_named(engine).name)
    match = _FORM.fullmatch(text)
    if at:
        raise RankfrontError(f"budget may name an engine for latency alone, but got {text.strip()!r:.60}")
    if not name.isidentifier() or not given:
        raise RankfrontError(f"budget must read METRIC=AMOUNT, such as params=5%, but got {text.strip()!r:.60}")
    if name in NAMES:
        raise RankfrontError(f"budget on the score must be one amount, such as score=99%, but got {text.strip()!r:.60}")
    if name not in METRICS:
        hint = ": time is called latency" if name in TIMES else did_you_mean(name, (*METRICS, *NAMES))
        raise RankfrontError(f"budget must be on one of {', '.join(METRICS)} or score, but got {name!r:.60}{hint}")
    if match is None:
        raise RankfrontError(
            f"budget on {name} must be an amount in digits and its unit ({METRICS[name].example}), without sign or "
            f"exponent, or LEAST..MOST, but got {given!r:.60}"
        )
    bound = _amount(name, match[4], match[5], text)
    if match[2] is None:
        return bound
    down_to = _amount(name, match[2], match[3], text)
    return replace(bound, text=f"{down_to.text}..{match[4]}{match[5]}", down_to=down_to)


def _amount(name: str, amount: str, unit: str, text: str) -> Bound:
    number = float(amount)
    if number == 0:
        raise RankfrontError(f"budget must be positive (a share to keep: params=5%), but got {text.strip()!r:.60}")
    shown = f"{name}={amount}{unit}"
    if unit == "%":
        if number > 100:
            raise RankfrontError(f"budget must be at most 100% of the dense model, but got {text.strip()!r:.60}")
        return Bound(name, shown, number / 100, None)
    metric = METRICS[name]
    try:
        return Bound(name, shown, None, metric.parse(amount + unit))
    except ValueError as what:
        units = ", ".join(filter(None, metric.units))
        accepted = f"% or one of {units}" if units else "%"
        raise RankfrontError(
            f"budget on {name} must carry {accepted} ({metric.example}), but {text.strip()!r:.60} has {what}"
        ) from None


def check_possible(budget: Budget, dense: Metrics, smallest: Metrics, left: object = "") -> None:
    """Refuse a budget below the smallest possible plan.

    Args:
        budget: what is asked for.
        dense: what the dense model costs.
        smallest: the least of each metric that any plan costs.
        left: what stays dense, in words.

    Raises:
        RankfrontError: naming the smallest.
    """
    for name, limit in budget.limits(dense).items():
        least = smallest.get(name, 0)  # a metric without a predictor has no least amount yet
        if limit < least:
            exact = METRICS[name].exact
            share = math.ceil(10_000 * least / dense[name]) / 10_000
            raise RankfrontError(
                f"budget {budget} is below the smallest possible plan: {name} can be at least {exact(least)} "
                f"({share:.2%} of the dense model's {exact(dense[name])}), but must be at most {exact(limit)}"
                + (f"; {left}" if left else "")
            )
