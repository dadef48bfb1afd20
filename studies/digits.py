"""``digits``: a small CNN on scikit-learn's 8×8 digits, trained on the spot in seconds."""

from __future__ import annotations

from collections import OrderedDict

import torch
from sklearn.datasets import load_digits
from torch import nn

from ..objectives.data.split import Split
from ..objectives.progress import WorkCallback
from ..objectives.task import Task
from ..objectives.training.settings import FineTune
from .training import Recipe, train_dense


def network() -> nn.Module:
    """Return the dense architecture: three convolutions and two linear layers, ``(N, 1, 8, 8) → (N, 10)``."""
    named: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(1, 32, 3, padding=1, bias=False),
        "bn1": nn.BatchNorm2d(32),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(32, 64, 3, padding=1, bias=False),
        "bn2": nn.BatchNorm2d(64),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2),
        "conv3": nn.Conv2d(64, 128, 3, padding=1, bias=False),
        "bn3": nn.BatchNorm2d(128),
        "relu3": nn.ReLU(),
        "pool3": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(512, 256),
        "relu4": nn.ReLU(),
        "fc2": nn.Linear(256, 10),
    }
    return nn.Sequential(OrderedDict(named))


def study(seed: int = 0, progress: WorkCallback | None = None) -> Task:
    """A small CNN on scikit-learn's 8×8 digits, trained on the spot (seconds)."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    y = torch.tensor(labels)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))  # the splits never change
    train, validation, test = order[:997], order[997:1397], order[1397:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network()
    split = Split((x[train], y[train]))
    train_dense(
        model,
        split,
        Recipe(epochs=20, lr=2e-3, batch_size=64, schedule="cosine"),
        name="digits",
        seed=seed,
        progress=progress,
    )
    return Task(
        model,
        split,
        (x[validation], y[validation]),
        (x[test], y[test]),
        name="digits",
        finetune=FineTune(epochs=4, lr=5e-3, batch_size=64),
        calibration=768,
        budget="params=10%",
        trials=40,
    )
