"""``resnet18-imagenette``: torchvision's ResNet-18 on Imagenette's ten classes.

969 of the 9,469 training images are held out for validation; Imagenette's ``val`` is the test split.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet18

from ..objectives.data.split import Split
from ..objectives.device import choose_device
from ..objectives.errors import RankfrontError
from ..objectives.io.tensors import read_checkpoint
from ..objectives.progress import WorkCallback
from ..objectives.task import Task
from ..objectives.training.settings import FineTune
from .imagenette import CLASSES, crop_and_flip, imagenette, normalise
from .training import Recipe, train_dense

EPOCHS = 20
HELD_OUT = 969


def network() -> nn.Module:
    """Return the dense architecture, ``(N, 3, S, S) → (N, 10)``."""
    return resnet18(num_classes=10)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load ten-class weights, or ImageNet's thousand classes, of which Imagenette's ten are kept.

    Raises:
        RankfrontError: the file holds no weights of a ResNet-18.
    """
    state = read_checkpoint(path)
    for name in ("fc.weight", "fc.bias"):
        if name in state and len(state[name]) == 1000:
            state[name] = state[name][list(CLASSES)]
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        told = " ".join(str(error).split())[:200]
        raise RankfrontError(f"{path} must hold the weights of torchvision's resnet18, but: {told}") from None


def study(
    data: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    weights: Path | None = None,
    image_size: int = 128,
    progress: WorkCallback | None = None,
) -> Task:
    """Torchvision's ResNet-18 on Imagenette (trained on first use: minutes on a GPU)."""
    if image_size < 32:
        raise RankfrontError(f"image size must be 32 pixels or more, but got {image_size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network()
    if weights is not None:
        load_weights(model, weights)
    root = data or Path("data")
    x, y = imagenette(root, "train", image_size, progress)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))  # the splits never change
    held_out, kept = order[:HELD_OUT], order[HELD_OUT:]
    train = Split((x[kept], y[kept]), normalise, crop_and_flip)
    if weights is None:
        recipe = Recipe(EPOCHS, 0.1, 128, "sgd", "warm cosine", weight_decay=5e-4, label_smoothing=0.1)
        train_dense(
            model,
            train,
            recipe,
            name=f"resnet18-imagenette-{image_size}px",
            seed=seed,
            device=choose_device(device),
            progress=progress,
        )
    return Task(
        model,
        train,
        Split((x[held_out], y[held_out]), normalise),
        Split(imagenette(root, "val", image_size, progress), normalise),
        name="resnet18-imagenette",
        finetune=FineTune(epochs=1, lr=1e-3, batch_size=128),
        calibration=1024,
        budget=("params=15%", "flops=30%"),
        trials=16,
    )
