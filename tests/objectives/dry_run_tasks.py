"""Tasks that a dry run is tried on, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import Dataset

from rankfront import FineTune, RankfrontError, Task
from tests.conftest import blobs, dry_run, trained_perceptron

X, Y = blobs(80, 1)


HELD_OUT = blobs(70, 2)


CPU = torch.device("cpu")


def task(model: nn.Module | None = None, **changes: Any) -> Task:
    given = {"train": (X, Y), "validation": HELD_OUT, "finetune": FineTune(batch_size=20), **changes}
    return Task(model or trained_perceptron(), **given)


def refused(task: Callable[[], Task]) -> str:
    with pytest.raises(RankfrontError) as caught:
        dry_run(task())
    said = str(caught.value)
    assert len(said) < 420 and "\n" not in said and "unexpected" not in said, said
    return said


class Wrapped(nn.Module):
    """A network with something of the user's around it."""

    def __init__(self, around: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.net = trained_perceptron()
        self.around = around

    def forward(self, x: Tensor) -> Any:
        return self.around(self, x)


class Named(nn.Module):
    """A network that takes its inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.net = trained_perceptron()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.net(x if mask is None else x * mask)


def negative_mse(outputs: Tensor, targets: Tensor) -> Tensor:
    return -(outputs.softmax(1) - nn.functional.one_hot(targets, 4)).square().mean()


class Centers(nn.Module):
    """A loss with parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(4))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs - self.centers, targets)


class Checkpointed(nn.Module):
    """Gives what it computes on the way, too, from before a reentrant checkpoint, which refuses `autograd.grad`."""

    def __init__(self) -> None:
        super().__init__()
        self.net = trained_perceptron()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = x.requires_grad_(self.training) * 1
        return checkpoint(self.net, hidden, use_reentrant=True), hidden


class Items(Dataset[Any]):
    """80 samples, made one by one."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return 80

    def __getitem__(self, i: int) -> Any:
        return self.make(i)


def images(net: nn.Module | None = None, **changes: Any) -> Task:
    conv = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Flatten(), nn.Linear(128, 4))
    data = torch.randn(60, 3, 8, 8), torch.arange(60) % 4
    return Task(net or conv, **{"train": data, "validation": data, **changes})


def changed(inputs: Callable[[Tensor], Any] = lambda x: x, targets: Callable[[Tensor], Any] = lambda y: y) -> Any:
    return {"train": (inputs(X), targets(Y)), "validation": (inputs(HELD_OUT[0]), targets(HELD_OUT[1]))}
