"""A layer's inputs and outputs as rows, one for each position (pixel, token), whatever the layer's shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from ..model.layer import Linear

CALIBRATION_POSITIONS = 256
"""At most so many positions of each sample enter statistics."""


def input_rows(module: Linear, inputs: Tensor, limit: int = CALIBRATION_POSITIONS) -> Tensor:
    """Return the patches that a layer multiplies by ``weight.flatten(1)``.

    Args:
        module: a Linear ``(N, …, in)`` or a convolution ``(N, in, …)``.
        inputs: what it is called with; without the first dimension it is one sample.
        limit: at most so many positions a sample, the same for all, and the same as `output_rows` takes.

    Returns:
        ``(N, positions, in · kernel)``; the channels of all groups side by side.
    """
    inputs = _batched(module, inputs)
    if not isinstance(module, _ConvNd):
        rows = inputs.reshape(len(inputs), -1, inputs.shape[-1])
        return rows[:, _drawn(rows.shape[1], limit, rows.device)]
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    patches = functional.pad(inputs, module._reversed_padding_repeated_twice, mode)
    for axis, (size, step, gap) in enumerate(
        zip(module.kernel_size, module.stride, module.dilation, strict=True), start=2
    ):
        patches = patches.unfold(axis, gap * (size - 1) + 1, step)[..., ::gap]
    dims = len(module.kernel_size)
    places = patches.shape[2 : 2 + dims]
    picked = torch.unravel_index(_drawn(math.prod(places), limit, inputs.device), places)
    return patches[(slice(None), slice(None), *picked)].transpose(1, 2).flatten(2)


def output_rows(module: Linear, outputs: Tensor, limit: int = CALIBRATION_POSITIONS) -> Tensor:
    """Return a layer's outputs ``(N, positions, out)``; arguments as for `input_rows`."""
    outputs = _batched(module, outputs)
    if isinstance(module, nn.Linear):
        rows = outputs.reshape(len(outputs), -1, outputs.shape[-1])
    else:
        rows = outputs.flatten(2).transpose(1, 2)
    return rows[:, _drawn(rows.shape[1], limit, rows.device)]


def _batched(module: Linear, tensor: Tensor) -> Tensor:
    """Return what a layer takes or gives with a dimension of samples."""
    alone = len(module.kernel_size) + 1 if isinstance(module, _ConvNd) else 1
    return tensor[None] if tensor.ndim == alone else tensor


def _drawn(total: int, limit: int, device: torch.device) -> Tensor:
    """Return the positions that count: all, or some drawn at random, always the same of so many."""
    if total <= limit:
        return torch.arange(total, device=device)
    drawn = torch.randperm(total, generator=torch.Generator().manual_seed(total))[:limit]
    return drawn.sort().values.to(device)
