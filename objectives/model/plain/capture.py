"""The linear maps that a module's forward computes, seen where it calls torch: no name or class is guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

CONVOLVED = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")

OPERATIONS: dict[Callable[..., Any], tuple[str, tuple[str, ...]]] = {
    functional.linear: ("Linear", ("input", "weight", "bias")),
    torch.conv1d: ("Conv1d", CONVOLVED),
    torch.conv2d: ("Conv2d", CONVOLVED),
    torch.conv3d: ("Conv3d", CONVOLVED),
    torch.conv_transpose1d: ("ConvTranspose1d", TRANSPOSED),
    torch.conv_transpose2d: ("ConvTranspose2d", TRANSPOSED),
    torch.conv_transpose3d: ("ConvTranspose3d", TRANSPOSED),
}
"""torch's functions, the module that computes the same, and the names of its arguments in their order."""

USUAL = {"bias": None, "stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}


class Call(NamedTuple):
    """One linear map that was computed."""

    operation: str
    """The name of the class in ``torch.nn``."""
    taken: Tensor
    weight: Tensor
    bias: Tensor | None
    geometry: dict[str, Any]
    """Stride, padding …, as the module takes them; JSON data, empty for a Linear."""
    given: Tensor


class _Watch(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in OPERATIONS:
            operation, names = OPERATIONS[func]
            known = {**USUAL, **dict(zip(names, args, strict=False)), **(kwargs or {})}
            dims = known["weight"].ndim - 2
            geometry = {} if operation == "Linear" else {name: _each(known[name], name, dims) for name in names[3:]}
            self.calls.append(Call(operation, known["input"], known["weight"], known["bias"], geometry, output))
        return output


def _each(value: Any, name: str, dims: int) -> Any:
    """Return one value for each dimension, as a list; a string, and the number of groups, as they are."""
    if isinstance(value, str) or name == "groups":
        return value
    values = [int(v) for v in value] if isinstance(value, Iterable) else [int(value)]
    return values * dims if len(values) == 1 else values


@torch.no_grad()
def captured(forward: Callable[..., Any], *args: Any, **keywords: Any) -> tuple[list[Call], Any]:
    """Call a module's forward; return the linear maps that it computed, and what it returned."""
    with _Watch() as watch:
        output = forward(*args, **keywords)
    return watch.calls, output
