"""What an error in a layer's output grows to further on.

The quadratic model (see `output_metric`) holds for small errors. Where factors leave out much of what a layer gives,
there is little signal left for the layers behind it, and what they do with it is no longer linear: measured changes of
networks' outputs are then far above the sum of the layers' errors. Counting an error ``e`` as ``e / (1 − e)^p`` ranks
such plans as they are; where errors are small it changes nothing.
"""

from __future__ import annotations

from .arrays import Array

POWER = 6.0
"""``p``; chosen on ``digits`` and ``truth`` among 0, 1, 2, 3, 4, 6, 8, 16 (see ``docs/benchmarks/untrained.md``)."""

LEAST_LEFT = 0.05
"""``1 − e`` is taken for at least this."""


def passed_on(relative: Array) -> Array:
    """Return what relative squared errors of a layer's output count as, of any shape; 0 stays 0."""
    return relative * (1 - relative).clip(LEAST_LEFT) ** -POWER
