"""Numbers in words, the same in every line, table and plot."""

from __future__ import annotations

from ...objectives.metrics.count import Metrics


def score_in_words(name: str, value: float) -> str:
    """Return ``97.43 %`` for an accuracy, ``0.9743`` for a score of the user's own."""
    return f"{value:.2%}".replace("%", " %") if name == "accuracy" else f"{value:.4g}"


def share_in_words(value: float, whole: float) -> str:
    """Return what share of the whole a value is: ``4.92 %``.

    >>> share_in_words(49.2, 1000)
    '4.92 %'
    """
    return f"{100 * value / whole:.3g} %"


def count_in_words(value: float, unit: str = "") -> str:
    """Return ``5.01 M``, ``214 k``, ``20 MB``: three digits and a decimal prefix."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:  # 999,582 is 1 M, not 1e+03 k
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.0f} {unit}".strip()


def metrics_in_words(score: str, value: float, metrics: Metrics, dense: Metrics) -> str:
    """Return one trial's result as shares of the dense model, in columns."""
    shares = "   ".join(
        f"{name} {share_in_words(getattr(metrics, name), getattr(dense, name)):>6}" for name in ("params", "flops")
    )
    return f"{score} {score_in_words(score, value):>8}   {shares}"
