"""Find out whether a loss or score of a batch is a sum over its samples, where a mean is asked for."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import torch

from ..data.samples import join

TOLERANCE = 1e-4
"""Relative difference of two values that are the same."""


@torch.no_grad()
def sums_up(function: Callable[[Any, Any], Any], outputs: Any, targets: Any, samples: int, dim: int) -> bool:
    """Return whether ``function(outputs, targets)`` is twice as large on every sample twice, as a sum is.

    A function that returns a value a sample is none, nor one that does not take these outputs.

    Args:
        function: a loss or a score.
        outputs: of a few samples.
        targets: theirs.
        samples: how many there are.
        dim: along which dimension tensors hold them.
    """
    with contextlib.suppress(Exception):  # whatever a user's code raises on samples twice; what cannot be joined
        once = float(function(outputs, targets))
        twice = float(function(*(join([item, item], dim, [samples, samples]) for item in (outputs, targets))))
        return once != 0 and math.isclose(twice, 2 * once, rel_tol=TOLERANCE)
    return False
