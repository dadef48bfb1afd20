"""``latency``: how long one pass takes in an engine, predicted from a table of times (see `latency_table`)."""

from __future__ import annotations

import math
from typing import final

from .amounts import shown
from .metric import Quantity

SIZES = {"s": 1e9, "ms": 1e6, "us": 1e3}
"""Units, the largest first, in nanoseconds."""


@final
class Latency(Quantity):
    """Nanoseconds of one pass in the study's engine; a study has it where it asks for it."""

    name = "latency"
    label = "predicted latency"
    said = "predicted latency"
    units = SIZES
    example = "latency=60% or latency=2ms"
    note = (
        "Latency is predicted from the times of the layers, each measured by itself in the study's engine; what is "
        "called measured was measured on the whole network, in turn with the dense one."
    )

    def show(self, amount: float) -> str:
        """Return a duration in its unit, in three digits.

        >>> LATENCY.show(2_345_678), LATENCY.show(80_400), LATENCY.show(3e9)
        ('2.35 ms', '80.4 us', '3 s')
        """
        if math.isnan(amount):
            return shown(amount)
        unit = next((unit for unit, size in SIZES.items() if abs(amount) >= size), "us")
        return f"{amount / SIZES[unit]:.3g} {unit}"

    def exact(self, amount: float) -> str:
        """Return it as `show` does: its last digits say nothing."""
        return self.show(amount)


LATENCY = Latency()
