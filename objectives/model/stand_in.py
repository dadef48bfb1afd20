"""What a model can read of a factorized layer as of the dense one: its geometry, and what its weight is like.

Models read ``self.fc.in_features``, ``self.conv.stride``, ``self.wo.weight.dtype``. A factorized layer has no dense
weight: what it returns as ``weight`` is one NaN, expanded to the dense layer's shape, in the factors' dtype and on
their device. So whoever computes with it gets NaN, not a wrong result. It is no parameter, and made at every reading.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

GEOMETRY = (
    "in_features",
    "out_features",
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "transposed",
    "output_padding",
    "groups",
    "padding_mode",
)
"""Attributes of Linears and convolutions."""


class WeightStandIn(nn.Module):
    """A module in a dense layer's place that holds a bias of its own: only ``weight`` stands for the dense one."""

    __jit_unused_properties__ = ("weight",)
    __jit_ignored_attributes__ = ("weight", "_dense_shape", "_dense_bias")

    @property
    def weight(self) -> Tensor:
        """Return NaN of the dense weight's shape; raises AttributeError while it stands for no layer."""
        return _like_factors(self, vars(self).get("_dense_shape"), "weight")


class StandIn(WeightStandIn):
    """A module in a dense layer's place: ``weight`` and ``bias`` stand for those of the dense layer."""

    __jit_unused_properties__ = ("weight", "bias")
    __jit_ignored_attributes__ = ("weight", "bias", "_dense_shape", "_dense_bias")

    @property
    def bias(self) -> Tensor | None:
        """Return NaN of the dense bias's shape, None where there is none."""
        shape = vars(self).get("_dense_shape")
        if shape is not None and vars(self)["_dense_bias"] is None:
            return None
        return _like_factors(self, vars(self).get("_dense_bias"), "bias")


class Chain(StandIn, nn.Sequential):
    """Modules one after the other, in a dense layer's place."""


def stand_for(new: nn.Module, dense: nn.Module) -> None:
    """Let ``new`` show the geometry of a Linear or convolution that it replaces, where it has none of that name."""
    if not isinstance(dense, (nn.Linear, _ConvNd)):
        return
    known = {name: vars(dense)[name] for name in GEOMETRY if name in vars(dense) and not hasattr(new, name)}
    vars(new).update(known)
    weight = dense._parameters.get("weight")
    if isinstance(new, WeightStandIn) and weight is not None:
        bias = dense._parameters.get("bias")
        vars(new)["_dense_shape"] = tuple(weight.shape)
        vars(new)["_dense_bias"] = None if bias is None else tuple(bias.shape)


@final
class Readings:
    """How often weights that stand in were read while it was watched, and what they held."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.count = 0


_watching: Readings | None = None


@contextlib.contextmanager
def readings(value: float = math.nan) -> Iterator[Readings]:
    """Count readings in the body; they get ``value`` in place of NaN."""
    global _watching
    before, _watching = _watching, Readings(value)
    try:
        yield _watching
    finally:
        _watching = before


def _like_factors(module: nn.Module, shape: tuple[int, ...] | None, name: str) -> Tensor:
    if shape is None:
        raise AttributeError(f"{type(module).__name__!r} object has no attribute {name!r}")
    value = math.nan
    if _watching is not None:
        _watching.count += 1
        value = _watching.value
    like = next(parameter for parameter in module.parameters() if parameter.is_floating_point())
    found = torch.full((), value, dtype=like.dtype, device=like.device).expand(shape)
    if like.requires_grad and not torch.compiler.is_compiling():
        found.requires_grad_()
    return found


HARMLESS = frozenset(
    (
        "__get__",
        "__len__",
        "size",
        "dim",
        "ndimension",
        "numel",
        "nelement",
        "stride",
        "storage_offset",
        "element_size",
        "get_device",
        "is_contiguous",
        "is_floating_point",
        "is_complex",
        "is_same_size",
        "to",
        "type",
        "type_as",
        "new_empty",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_tensor",
        "empty_like",
        "zeros_like",
        "ones_like",
        "full_like",
        "rand_like",
        "randn_like",
        "requires_grad_",
        "data_ptr",
        "untyped_storage",
    )
)
"""Names of functions whose result does not depend on a tensor's values, or is the tensor."""


@final
class Computing(TorchFunctionMode):
    """Notes, while it is entered, the first function that computes with a weight that stands in."""

    def __init__(self) -> None:
        super().__init__()
        self.function: str | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, and note its name where it computes."""
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if self.function is None and name not in HARMLESS and not _stands_in(result):
            operands = [*args, *(kwargs or {}).values()]
            parts = [part for item in operands for part in (item if isinstance(item, (list, tuple)) else [item])]
            if any(map(_stands_in, parts)):
                self.function = name
        return result


def _stands_in(item: Any) -> bool:
    """Return whether it is such a weight, or a view of one."""
    if not isinstance(item, Tensor) or not item.ndim or not item.numel() or not item.is_floating_point():
        return False
    if item.layout != torch.strided or item.device.type == "meta":
        return False
    single = item.untyped_storage().nbytes() == item.element_size()
    return single and bool(torch.isnan(item.detach()[(0,) * item.ndim]))
