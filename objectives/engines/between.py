"""A layer as it stands within a network: between two others, which hardly cost anything.

By itself a convolution takes in and gives out what its engine first turns into its own layout of memory, and back;
within a network neighbours hand that layout on, and something in between that does not know it (the indexing of an
identity block) costs more.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..model.layer import Layer
from ..model.stored import Stored

CHANNELS = 4
"""Channels at the ends: few, so that the neighbours' time is small."""

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def between(layer: Layer, module: nn.Module, shape: torch.Size) -> tuple[nn.Module, Tensor]:
    """Return a network that holds a layer's module between others, and what to run it on.

    Args:
        layer: the layer.
        module: the layer itself, or its factors.
        shape: what it is called with; ``(1,)`` for a parameter that is read.
    """
    like = layer.module.weight
    if isinstance(module, Stored):
        return _Read(module), torch.ones(1, dtype=like.dtype)
    channel = -1 - len(layer.kernel)
    taken = shape[channel]
    if isinstance(layer.module, _ConvNd):
        made = _CONVOLUTIONS[len(layer.kernel)]
        first, last = (
            made(CHANNELS, taken, 1, dtype=like.dtype),
            made(layer.out_features, CHANNELS, 1, dtype=like.dtype),
        )
    else:
        first = nn.Linear(CHANNELS, taken, dtype=like.dtype)
        last = nn.Linear(layer.out_features, CHANNELS, dtype=like.dtype)
    sizes = list(shape)
    sizes[channel] = CHANNELS
    given = torch.randn(sizes, generator=torch.Generator().manual_seed(0)).to(like.dtype)
    return nn.Sequential(first, nn.ReLU(), module, nn.ReLU(), last).eval().requires_grad_(False), given


class _Read(nn.Module):
    """Reads a stored parameter, so that it takes an input and gives an output as every layer does."""

    def __init__(self, stored: nn.Module) -> None:
        super().__init__()
        self.stored = stored

    def forward(self, x: Tensor) -> Tensor:
        return x * self.stored()
