"""What a module may compute, guessed from its class, from the calls in its forward, and from its parameters' shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..layer import TYPES
from .build import dims_of, own_geometry
from .isolated import Isolated
from .padding import padding_between


def guesses(isolated: Isolated) -> Iterator[dict[str, Any]]:
    """Yield what the module may compute, as `plain` builds it."""
    module = isolated.module
    names = {id(p): n for n, p in module._parameters.items() if p is not None}
    base = next((kind for kind in TYPES if isinstance(module, kind)), None)
    bias = "bias" if module._parameters.get("bias") is not None else None
    if base is not None and module._parameters.get("weight") is not None:
        data = {"operation": base.__name__, "weight": "weight", "bias": bias, "transposed": False}
        if base is not nn.Linear:
            try:
                data["geometry"] = own_geometry(module)
                yield data
            except (TypeError, ValueError):
                pass
        else:
            yield data
    x = random_like(isolated.x)
    calls = _calls(isolated, x)
    if len(calls) == 1 and id(calls[0].weight) in names and (calls[0].bias is None or id(calls[0].bias) in names):
        (call,) = calls
        bias = None if call.bias is None else names[id(call.bias)]
        data = {"operation": call.operation, "weight": names[id(call.weight)], "bias": bias, "transposed": False}
        if dims := dims_of(call.operation):
            yield from with_padding({**data, "geometry": call.geometry}, x, call.taken, dims)
        else:
            yield data
    matrices = [n for n, p in module._parameters.items() if p is not None and p.ndim == 2]
    vectors = [n for n, p in module._parameters.items() if p is not None and p.ndim == 1]
    if len(matrices) == 1 and len(vectors) == len(names) - 1:
        rows, columns = module._parameters[matrices[0]].shape  # pyright: ignore[reportOptionalMemberAccess]
        for transposed, taken, given in ((False, columns, rows), (True, rows, columns)):
            sizes = {module._parameters[n].numel() for n in vectors}  # pyright: ignore[reportOptionalMemberAccess]
            if isolated.x.shape[-1] == taken and sizes <= {given}:
                yield {
                    "operation": "Linear",
                    "weight": matrices[0],
                    "bias": vectors[0] if vectors else None,
                    "transposed": transposed,
                }


def with_padding(data: dict[str, Any], x: Tensor, taken: Tensor, dims: int) -> Iterator[dict[str, Any]]:
    """Yield a convolution after the constant padding that makes ``taken`` of ``x``, and after "same".

    Zeros on both sides alike are the convolution's own padding.
    """
    pad = padding_between(x, taken, dims)
    if pad is None:
        return
    geometry = data["geometry"]
    before, after = pad["amounts"][::2], pad["amounts"][1::2]
    if not any(pad["amounts"]):
        yield data
    elif before == after and pad["value"] == 0 and geometry["padding"] == [0] * dims:
        yield {**data, "geometry": {**geometry, "padding": before[::-1]}}
    else:
        yield {**data, "pad": pad}
    yield {**data, "pad": {"amounts": "same", "value": pad["value"]}}


def _calls(isolated: Isolated, x: Tensor) -> list[Any]:
    try:
        return isolated.captured(x)[0]
    except Exception:  # a forward that only accepts certain values
        return []


def random_like(like: Tensor) -> Tensor:
    """Return random numbers of that shape, type and device, always the same."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(like)
