"""The padding that a module adds before its convolution, found from what goes in and what the convolution takes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional


@final
class SamePadding(nn.Module):
    """Pads so that a convolution gives ``ceil(size / stride)`` places, whatever the size: TensorFlow's "same"."""

    def __init__(self, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], value: float) -> None:
        super().__init__()
        self.kernel = tuple(kernel)
        self.stride = tuple(stride)
        self.dilation = tuple(dilation)
        self.value = value

    def amounts(self, sizes: Sequence[int]) -> list[int]:
        """Return how many places are added before and after each axis, the last axis first (as torch pads)."""
        found: list[int] = []
        for size, kernel, step, gap in zip(sizes, self.kernel, self.stride, self.dilation, strict=True):
            total = max(0, (-(-size // step) - 1) * step + (kernel - 1) * gap + 1 - size)
            found = [total // 2, total - total // 2, *found]
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x (…, sizes)``, padded."""
        return functional.pad(x, self.amounts(x.shape[-len(self.kernel) :]), value=self.value)

    def extra_repr(self) -> str:
        """Return what it pads for."""
        return f"kernel={self.kernel}, stride={self.stride}, dilation={self.dilation}, value={self.value}"


def padding_module(data: Mapping[str, Any], kernel: Sequence[int], geometry: Mapping[str, Any]) -> nn.Module:
    """Return the module for ``{"amounts": [...], "value": v}``, or for ``{"amounts": "same", "value": v}``."""
    if data["amounts"] == "same":
        return SamePadding(kernel, geometry["stride"], geometry["dilation"], data["value"])
    return getattr(nn, f"ConstantPad{len(kernel)}d")(tuple(data["amounts"]), data["value"])


def padding_between(before: Tensor, after: Tensor, dims: int) -> dict[str, Any] | None:
    """Return the constant padding that makes ``after`` of ``before``, as `padding_module` takes it; None if none does.

    Args:
        before: the module's input ``(…, sizes)``, of values that do not repeat.
        after: what its convolution takes.
        dims: number of sizes.
    """
    if before.shape[:-dims] != after.shape[:-dims]:
        return None
    sizes = before.shape[-dims:]
    added = [new - old for old, new in zip(sizes, after.shape[-dims:], strict=True)]
    if min(added) < 0 or not after.numel():
        return None
    for starts in itertools.product(*(range(more + 1) for more in added)):
        inner = tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
        if torch.equal(after[(..., *inner)], before):
            border = torch.ones_like(after, dtype=torch.bool)
            border[(..., *inner)] = False
            values = after[border]
            if len(values) and not bool((values == values[0]).all()):
                return None
            ends = [more - start for more, start in zip(added, starts, strict=True)]
            amounts = [amount for pair in zip(reversed(starts), reversed(ends), strict=True) for amount in pair]
            return {"amounts": amounts, "value": float(values[0]) if len(values) else 0.0}
    return None
