"""Evenly spaced positions."""

from __future__ import annotations


def evenly(total: int, samples: int) -> list[int]:
    """Return so many positions below ``total`` at even distances, the first and the last included.

    >>> evenly(10, 4)
    [0, 3, 6, 9]
    """
    if total <= samples:
        return list(range(total))
    return [round(i * (total - 1) / max(1, samples - 1)) for i in range(samples)]
