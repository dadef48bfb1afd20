"""Build the plain module of one operation, from plain data and the weights."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .padding import padding_module

TRANSPOSED = "ConvTranspose"
"""How the names of transposed convolutions begin."""


PAD, CONV = "pad", "conv"
"""Names of the two modules that take the place of a convolution that pads before."""


def layers_inside(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the layers in what `plain` returns; empty where it is one itself."""
    return (CONV,) if PAD in data else ()


def dims_of(operation: str) -> int:
    """Return over how many axes an operation moves: 0 for a Linear."""
    return 0 if operation == "Linear" else int(operation[-2])


def plain(data: Mapping[str, Any], weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Return a plain module with these parameters; one of two modules, ``pad`` and ``conv``, where it pads before.

    Args:
        data: ``operation`` (the name of a class in ``torch.nn``), and for convolutions ``geometry`` (its other
            arguments) and ``pad`` (see `padding_module`), if any.
        weight: as that class has it; a parameter becomes the module's own.
        bias: the same; None for a module without one.
    """
    operation, geometry = data["operation"], data.get("geometry", {})
    kind = getattr(nn, operation)
    options: dict[str, Any] = {"bias": bias is not None, "device": "meta", "dtype": weight.dtype}
    first, second = weight.shape[:2]
    if operation == "Linear":
        module = kind(second, first, **options)
    else:
        across = second * geometry["groups"]
        channels = (first, across) if operation.startswith(TRANSPOSED) else (across, first)
        accepted = inspect.signature(kind).parameters
        options |= {name: tuple(v) if isinstance(v, list) else v for name, v in geometry.items() if name in accepted}
        module = kind(*channels, tuple(weight.shape[2:]), **options)
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            trained = tensor.requires_grad and tensor.is_floating_point()
            setattr(module, name, tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, trained))
    if PAD not in data:
        return module
    pad = padding_module(data[PAD], weight.shape[2:], geometry)
    return nn.Sequential(OrderedDict([(PAD, pad), (CONV, module)]))


def own_geometry(module: nn.Module) -> dict[str, Any]:
    """Return the arguments of a convolution's class, from the attributes of one; JSON data."""
    names = ("stride", "padding", "dilation", "groups", "padding_mode", "output_padding")
    known = {name: getattr(module, name) for name in names if hasattr(module, name)}
    if isinstance(module, torch.nn.modules.conv._ConvTransposeNd):
        return {name: _plain(value) for name, value in known.items()}
    return {name: _plain(value) for name, value in known.items() if name != "output_padding"}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int)) else [int(v) for v in value]
