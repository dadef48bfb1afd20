"""Learning rates over a training run, by torch's own schedulers."""

from __future__ import annotations

import warnings
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

Schedule = Literal["constant", "cosine", "warm cosine"]
"""The rate stays; or falls as half a cosine to zero; or rises linearly first."""


def schedule(optimizer: Optimizer, kind: Schedule, steps: int, *, warmup: float = 0.1, done: int = 0) -> LRScheduler:
    """Return a scheduler to be stepped after every step of the optimizer.

    With ``rising = max(1, round(warmup · steps))`` the rate of step s, from 0, is ``(s + 1) / rising`` of the
    optimizer's own below ``rising``, then ``(1 + cos(π (s − rising) / (steps − rising))) / 2`` of it.

    Args:
        optimizer: whose learning rates are set.
        kind: the form.
        steps: of the whole run.
        warmup: share of the steps over which a ``warm cosine`` rises.
        done: steps that were taken before, of a run that goes on.
    """
    with warnings.catch_warnings():
        # Torch warns of schedulers that are stepped before their optimizer; here the optimizer's steps were taken.
        warnings.simplefilter("ignore", UserWarning)
        if kind == "constant":
            made: LRScheduler = ConstantLR(optimizer, factor=1.0, total_iters=0)
        elif kind == "cosine":
            made = CosineAnnealingLR(optimizer, T_max=max(1, steps))
        else:
            rising = max(1, round(warmup * steps))
            rise = LinearLR(optimizer, start_factor=1 / rising, total_iters=max(1, rising - 1))
            fall = CosineAnnealingLR(optimizer, T_max=max(1, steps - rising))
            made = SequentialLR(optimizer, [rise, fall], milestones=[rising])
        for _ in range(done):
            made.step()
    return made
