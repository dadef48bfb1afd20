"""What errors of several layers count as where each of them leaves little.

A layer that errs by ``e`` of its output passes ``1 − e`` of it on, and what the layers before it got right counts for
as much less. So an error is counted as ``e / (1 − e)``, noise to signal: small errors as they are.
"""

from __future__ import annotations

from .arrays import Array

LEAST_LEFT = 0.01
"""``1 − e`` is taken for at least this."""


def passed_on(relative: Array) -> Array:
    """Return what relative squared errors of layers' outputs count as, of any shape; 0 stays 0."""
    return relative / (1 - relative).clip(LEAST_LEFT)
