"""Find out whether a loss or score broadcasts targets against outputs: torch does so without an error.

``mse_loss`` of outputs ``(N, 1)`` and targets ``(N,)`` is the mean over all N² pairs of them. Such a value stays the
same when targets change places, and is another one once targets have the outputs' shape. It is tried on made-up
numbers, all different, among which every right comparison changes when targets change places.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..data.structure import mapped
from ..model.outputs import main_output

TOLERANCE = 1e-5
"""Relative difference of two values that are the same."""

ROTATIONS = 4
"""So many times targets change places."""


@torch.no_grad()
def broadcasts(function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> tuple[bool, str]:
    """Return whether ``function(outputs, targets)`` broadcasts one against the other, and the shapes.

    Args:
        function: a loss or a score.
        outputs: of a few samples, two or more.
        targets: theirs.
    """
    main = main_output(outputs)
    if main is None or not isinstance(targets, Tensor) or main.ndim == 0 or targets.ndim == 0:
        return False, ""
    n = len(main)
    if main.shape == targets.shape or main.numel() != targets.numel() or n < 2 or len(targets) != n:
        return False, ""
    made = torch.arange(targets.numel(), device=targets.device).to(targets.dtype).reshape(targets.shape)
    others = mapped(outputs, lambda tensor: made.roll(1, 0).reshape(main.shape).to(main) if tensor is main else tensor)
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # numbers that it does not take
        warnings.simplefilter("ignore")
        own_shape = float(function(others, made.reshape(main.shape)))
        values = [float(function(others, made.roll(k, 0))) for k in range(min(n, ROTATIONS))]
        if all(_same(value, values[0]) for value in values) and not _same(own_shape, values[0]):
            return True, f"outputs {tuple(main.shape)} against targets {tuple(targets.shape)}"
    return False, ""


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-12)
