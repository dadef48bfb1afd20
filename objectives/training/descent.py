"""A short training of some parameters on a fixed set of batches, undone where it does not help on others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..data.randomness import fixed_seed
from .held_out import is_better

Item = TypeVar("Item")


@dataclass(frozen=True)
class Descent:
    """How parameters are trained: ``steps`` of Adam, its rate ``lr`` falling to 0 by a cosine."""

    steps: int = 150
    lr: float = 1e-3


DESCENT = Descent()


def descend(
    parameters: Sequence[nn.Parameter],
    error: Callable[[Item], Tensor],
    items: Sequence[Item],
    held_out: Sequence[Item],
    by: Descent,
    seed: int,
) -> None:
    """Train parameters in place, one item a step in a random order; as before where the held-out error does not fall.

    Args:
        parameters: integer ones stay as they are. Afterwards none asks for a gradient.
        error: of an item, ``()``; nothing is done where its sum over ``held_out`` is not finite before.
        items: to train on.
        held_out: to choose by.
        by: how long, and how fast.
        seed: of the order, and of whatever is drawn.
    """
    trained = [parameter for parameter in parameters if parameter.is_floating_point()]
    before = [parameter.detach().clone() for parameter in trained]

    def missed() -> float:
        with torch.no_grad():
            return sum(float(error(item)) for item in held_out)

    was = missed()
    if not trained or not math.isfinite(was):
        return
    for parameter in trained:
        parameter.requires_grad_(True)
    with fixed_seed(seed), torch.enable_grad():
        optimizer = torch.optim.Adam(trained, lr=by.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: (1 + math.cos(math.pi * n / by.steps)) / 2)
        order: list[int] = []
        for _ in range(by.steps):
            order = order or torch.randperm(len(items)).tolist()
            optimizer.zero_grad()
            error(items[order.pop()]).backward()
            optimizer.step()
            schedule.step()
    better = is_better(missed(), was)
    with torch.no_grad():
        for parameter, old in zip(trained, before, strict=True):
            parameter.requires_grad_(False)
            parameter.grad = None
            if not better:
                parameter.copy_(old)
