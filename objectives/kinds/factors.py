"""Make the modules of factors: convolutions along some axes of another one, and their weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..model.layer import TRANSPOSED, TYPES, Layer, Linear


def convolution(
    like: _ConvNd, inputs: int, outputs: int, *, bias: bool, axes: Iterable[int] | None = None, groups: int = 1
) -> _ConvNd:
    """Return a convolution on the meta device with the kernel of ``like`` along ``axes``, of size 1 along others.

    Args:
        like: whose kernel size, stride, padding, dilation and dtype are taken.
        inputs: number of channels it takes.
        outputs: number of channels it gives.
        bias: whether it has one.
        axes: of the image, 0 first; all if not given. Along none it is a plain 1×1 one, even of a transposed one.
        groups: number of groups.
    """
    kept = set(range(len(like.kernel_size)) if axes is None else axes)

    def along(values: Sequence[int], otherwise: int) -> tuple[int, ...]:
        return tuple(v if axis in kept else otherwise for axis, v in enumerate(values))

    options: dict[str, Any] = {
        "stride": along(like.stride, 1),
        "padding": like.padding if isinstance(like.padding, str) else along(like.padding, 0),
        "dilation": along(like.dilation, 1),
        "padding_mode": like.padding_mode if kept else "zeros",
    }
    kind: type[Any] = type(like)
    if isinstance(like, TRANSPOSED):
        if kept:
            options["output_padding"] = along(like.output_padding, 0)
        else:
            kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(like.kernel_size) - 1]
    size = along(like.kernel_size, 1)
    return kind(inputs, outputs, size, groups=groups, bias=bias, device="meta", dtype=like.weight.dtype, **options)


@torch.no_grad()
def filled(layer: Layer, skeleton: nn.Module, weights: Sequence[Tensor], lost: Tensor | None = None) -> Any:
    """Return a skeleton with these weights, in the order of its Linear and convolution modules.

    Args:
        layer: whose device and bias are taken.
        skeleton: modules on the meta device; the last one with a bias, or the whole, holds the layer's.
        weights: of each module, of any shape with the right number of elements.
        lost: what is added to the layer's bias: the mean of what the factors leave out, ``(out,)``.
    """
    skeleton = skeleton.to_empty(device=layer.module.weight.device)
    maps = [m for m in skeleton.modules() if isinstance(m, (nn.Linear, _ConvNd))]
    for part, weight in zip(maps, weights, strict=True):
        if isinstance(part, TRANSPOSED):  # given as (groups, out/groups, in/groups · kernel)
            weight = weight.reshape(part.groups, part.out_channels // part.groups, -1, *part.kernel_size).transpose(
                1, 2
            )
        part.weight.copy_(weight.reshape(part.weight.shape))
    if layer.module.bias is not None:
        bias = layer.module.bias.double()
        holder = next(held for m in (skeleton, *reversed(maps)) if (held := m._parameters.get("bias")) is not None)
        holder.copy_(bias if lost is None else bias + lost)
    return skeleton


def last_map(factors: nn.Module) -> Linear:
    """Return the last Linear or convolution of a factorized layer."""
    return [m for m in factors.modules() if isinstance(m, TYPES)][-1]
