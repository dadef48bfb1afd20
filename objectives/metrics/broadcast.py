"""Find out whether a loss or score broadcasts targets against outputs: torch does so without an error.

``mse_loss`` of outputs ``(N, 1)`` and targets ``(N,)`` is the mean over all N² pairs of them. Such a value stays the
same when targets change places, and is another one once targets have the outputs' shape.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..model.outputs import main_output

TOLERANCE = 1e-5
"""Relative difference of two values that are the same."""


@torch.no_grad()
def broadcasts(function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> tuple[bool, str]:
    """Return whether ``function(outputs, targets)`` broadcasts one against the other, and the shapes.

    Args:
        function: a loss or a score.
        outputs: of a few samples, two or more that differ.
        targets: theirs.
    """
    main = main_output(outputs)
    if main is None or not isinstance(targets, Tensor) or main.ndim == 0 or targets.ndim == 0:
        return False, ""
    if main.shape == targets.shape or main.numel() != targets.numel() or len(main) < 2:
        return False, ""
    values: list[float] = []
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        for changed in (targets, targets.roll(1, 0), targets.reshape(main.shape)):
            values.append(float(function(outputs, changed)))
    if len(values) < 3 or not _same(values[0], values[1]) or _same(values[0], values[2]):
        return False, ""
    return True, f"outputs {tuple(main.shape)} against targets {tuple(targets.shape)}"


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-12)
