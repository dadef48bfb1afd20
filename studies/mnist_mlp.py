"""``mnist-mlp``: the classic six-layer perceptron on MNIST, 784-1024×5-10 with ReLU.

Trained as published: Adam, learning rate 1e-4, batches of 128, 53 epochs, images normalised by
0.1307/0.3081. 5,000 of the 60,000 training images are held out for validation.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.datasets import MNIST

from ..objectives.data.split import Split
from ..objectives.device import choose_device
from ..objectives.errors import RankfrontError
from ..objectives.progress import WorkCallback
from ..objectives.task import Task
from ..objectives.training.settings import FineTune
from .training import Recipe, train_dense

EPOCHS = 53
HELD_OUT = 5_000


def network() -> nn.Sequential:
    """Return the dense architecture, ``(N, 784) → (N, 10)``."""
    layers: list[nn.Module] = []
    width = 784
    for _ in range(5):
        layers += [nn.Linear(width, 1024), nn.ReLU()]
        width = 1024
    return nn.Sequential(*layers, nn.Linear(width, 10))


def study(data: Path | None = None, seed: int = 0, device: str = "auto", progress: WorkCallback | None = None) -> Task:
    """The classic perceptron 784-1024×5-10 on MNIST (13 minutes of training on two cores, once)."""
    root = data or Path("data")
    x, y = mnist(root, train=True)
    train = Split((x[:-HELD_OUT], y[:-HELD_OUT]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network()
    train_dense(
        model,
        train,
        Recipe(epochs=EPOCHS, lr=1e-4),
        name="mnist-mlp",
        seed=seed,
        device=choose_device(device),
        progress=progress,
    )
    return Task(
        model,
        train,
        (x[-HELD_OUT:], y[-HELD_OUT:]),
        mnist(root, train=False),
        name="mnist-mlp",
        finetune=FineTune(epochs=1, lr=2e-3),
        calibration=2048,
        budget="params=3%",
        trials=40,
    )


def mnist(root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    """Return MNIST as normalised rows ``(N, 784)`` and labels ``(N,)``, downloaded where it is not there.

    Raises:
        RankfrontError: it is neither there nor to be had.
    """
    try:
        # The folder may be read-only: download only what is missing.
        found = _read(root, train, download=False)
    except RuntimeError:
        try:
            found = _read(root, train, download=True)
        except (RuntimeError, OSError) as error:
            for empty in (root / "MNIST" / "raw", root / "MNIST", root):
                with contextlib.suppress(OSError):
                    empty.rmdir()  # refuses where there is anything in it
            raise RankfrontError(
                f"MNIST must lie in {root.resolve() / 'MNIST' / 'raw'} (--data names the folder that holds MNIST), "
                f"and could not be downloaded there by torchvision: {error}"
            ) from None
    images = (found.data.float() / 255 - 0.1307) / 0.3081
    return images.flatten(1), found.targets


def _read(root: Path, train: bool, *, download: bool) -> MNIST:
    return MNIST(root, train=train, download=download)
