"""Imagenette: ten classes of ImageNet, read once into memory as bytes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.datasets import ImageFolder, Imagenette
from torchvision.transforms import v2

from ..objectives.errors import RankfrontError
from ..objectives.progress import WorkCallback

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, as torchvision's pretrained networks expect them."""

CLASSES = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)
"""Imagenette's classes among ImageNet's thousand, in the order of their folders."""

SMALLEST_CROP = 0.35
"""Least share of an image's area that a training crop shows."""


def imagenette(
    root: Path, split: str, size: int, progress: WorkCallback | None = None, limit: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return images ``(N, 3, size, size)`` as bytes, and labels ``(N,)``.

    Args:
        root: a folder with ``train/`` and ``val/``, each a folder a class; where there is none, torchvision
            downloads Imagenette to it.
        split: ``train`` or ``val``.
        size: images are resized (shorter side) and cropped in the middle to this many pixels.
        progress: told the images read.
        limit: read at most so many, drawn at random, always the same of so many; all if not given.

    Raises:
        RankfrontError: the images are neither there nor to be had.
    """
    steps = v2.Compose([v2.Resize(size), v2.CenterCrop(size), v2.PILToTensor()])
    if (root / split).is_dir():
        try:
            found = ImageFolder(str(root / split), steps)
        except FileNotFoundError as error:
            raise RankfrontError(f"{root / split} must hold a folder of images a class, but: {error}") from None
    else:
        try:
            found = Imagenette(root, split, "160px" if size <= 160 else "320px", download=True, transform=steps)
        except (RuntimeError, OSError) as error:
            with contextlib.suppress(OSError):
                root.rmdir()  # which torchvision made; refuses where there is anything in it
            raise RankfrontError(
                f"Imagenette must lie in {root.resolve()} as train/ and val/ (--data names that folder), "
                f"and could not be downloaded there by torchvision: {error}"
            ) from None
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))[:limit]
    drawn = range(len(found)) if limit is None else order.sort().values.tolist()
    images = torch.empty(len(drawn), 3, size, size, dtype=torch.uint8)
    labels = torch.empty(len(drawn), dtype=torch.long)
    for i, place in enumerate(drawn):
        images[i], labels[i] = found[place]
        if progress is not None and (i % 200 == 0 or i + 1 == len(drawn)):
            progress(f"reading the {split} images", i + 1, len(drawn))
    return images, labels


def normalise(images: Tensor) -> Tensor:
    """Return bytes ``(N, 3, H, W)`` as floats of about zero mean and unit variance."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random crop of every image, enlarged to its size, half of them mirrored.

    The crop of GoogLeNet (Szegedy et al., 2015): uniform in area, its aspect ratio log-uniform in 3/4 … 4/3.
    """
    n = len(images)
    draw = torch.rand(5, n, generator=generator)
    area = SMALLEST_CROP + (1 - SMALLEST_CROP) * draw[0]
    aspect = (2 * draw[1] - 1).mul(torch.log(torch.tensor(4 / 3)) / 2).exp()
    width, height = (area.sqrt() * aspect).clamp_max(1), (area.sqrt() / aspect).clamp_max(1)
    left, top = (1 - width) * (2 * draw[2] - 1), (1 - height) * (2 * draw[3] - 1)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = width * (draw[4] < 0.5).float().mul(2).sub(1)
    theta[:, 0, 2] = left
    theta[:, 1, 1] = height
    theta[:, 1, 2] = top
    grid = functional.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
