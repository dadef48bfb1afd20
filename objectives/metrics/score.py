"""How good a network is on a split: accuracy, or a score of the user's own (higher is better)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..data.split import Split, apply, join, length, place
from ..errors import RankfrontError, TrialError

Score = Callable[[Any, Any], Any]
"""``score(outputs, targets)`` over a whole split, on the CPU; returns one number, higher is better."""


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Return the share of samples whose largest output ``(N, classes)`` is the target ``(N,)``.

    >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    0.5
    """
    shapes = [tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__ for t in (outputs, targets)]
    if isinstance(shapes[0], str) or len(shapes[0]) != 2 or shapes[1] != shapes[0][:1]:
        raise RankfrontError(
            "accuracy needs outputs (N, classes) and targets (N,), "
            f"but got {shapes[0]} and {shapes[1]}: give the task a score of its own"
        )
    return float((outputs.argmax(1) == targets).double().mean())


@torch.no_grad()
def evaluate(
    model: nn.Module, data: Split, score: Score, *, device: torch.device | str = "cpu", batch_size: int = 512
) -> float:
    """Return ``score`` of the model's outputs over the whole split: eval mode, no autocast, full precision.

    Raises:
        TrialError: the score is not a finite number.
    """
    was_training = model.training
    model.eval()
    outputs, targets = [], []
    parts = 1
    for batch in data.batches(batch_size, device=device):
        while True:
            try:
                passed = [place(apply(model, part.inputs), "cpu") for part in batch.parts(parts)]
                break
            except torch.OutOfMemoryError:
                if parts >= length(batch.targets):
                    raise
                parts *= 2
        outputs += passed
        targets.append(place(batch.targets, "cpu"))
    model.train(was_training)
    value = score(join(outputs), join(targets))
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise RankfrontError(f"a score must be one number, but got {value!r:.60}") from None
    if not math.isfinite(value):
        raise TrialError(f"a score must be a finite number, but got {value}")
    return value
