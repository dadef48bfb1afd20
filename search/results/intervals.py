"""How sure a measured accuracy is."""

from __future__ import annotations

import math

Z95 = 1.959963984540054
"""The normal distribution's 97.5 % point."""


def wilson(accuracy: float, samples: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy measured on that many samples (Wilson, JASA 1927).

    >>> tuple(round(x, 3) for x in wilson(0.9, 100))
    (0.826, 0.945)
    """
    z2 = Z95**2 / samples
    centre = (accuracy + z2 / 2) / (1 + z2)
    half = Z95 / (1 + z2) * math.sqrt(accuracy * (1 - accuracy) / samples + z2 / (4 * samples))
    return max(0.0, centre - half), min(1.0, centre + half)
