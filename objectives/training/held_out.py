"""Which of two versions of a network is better, by their loss on held-out data."""

from __future__ import annotations

LEAST_GAIN = 1e-5
"""Share of the loss by which it must fall: losses in float32 differ by less from one CPU to another."""


def is_better(loss: float, before: float) -> bool:
    """Return whether ``loss`` is lower than ``before`` by more than rounding errors; infinity is never better."""
    return loss < before and before - loss > LEAST_GAIN * abs(loss)
