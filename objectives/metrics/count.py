"""What a network costs: parameters, operations, bytes.

>>> count(nn.Linear(3, 2), torch.zeros(1, 3))
Metrics(params=8, flops=12, bytes=168)
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..data.split import Inputs, apply, place

DTYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int16: "I16",
    torch.uint16: "U16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.uint32: "U32",
    torch.float32: "F32",
    torch.complex64: "C64",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.uint64: "U64",
}
"""Types by safetensors' names, in its own order: tensors lie in a file by type, last one first, then by name."""

_ORDER = {dtype: place for place, dtype in enumerate(DTYPES)}


class Metrics(NamedTuple):
    """What a network costs; every budget bounds some of these."""

    params: int
    """Number of parameters, tied ones once."""
    flops: int
    """Number of operations for one input, 2 per multiply-add."""
    bytes: int
    """Size of the saved ``model.safetensors``."""


class Entry(NamedTuple):
    """One tensor of a saved file."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype


def count(model: nn.Module, example: Inputs) -> Metrics:
    """Count a network's parameters, operations on one input (a batch of one) and saved bytes."""
    return Metrics(count_params(model), count_flops(model, example), file_bytes(entries(model)))


def count_params(model: nn.Module) -> int:
    """Return the number of parameters; one that is used in several places counts once."""
    return sum(p.numel() for p in model.parameters())


def count_flops(model: nn.Module, example: Inputs) -> int:
    """Return torch's own count of operations for one input, on the meta device.

    Only there are fused attention and the like taken apart and counted; a model that cannot run
    there (its forward pass looks at values) is counted where it is.
    """
    try:
        return _flops(copy.deepcopy(model).to("meta"), place(example, "meta"))
    except Exception:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        return _flops(copy.deepcopy(model), place(example, device))


def _flops(model: nn.Module, example: Inputs) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        apply(model.eval(), example)
    return counter.get_total_flops()


def unique_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict with every tied tensor once, under its first name."""
    seen: set[int] = set()
    unique: dict[str, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            unique[name] = tensor.detach()
    return unique


def entries(model: nn.Module) -> list[Entry]:
    """Return the tensors that a saved file of this model holds."""
    return [Entry(name, tuple(t.shape), t.dtype) for name, t in unique_state(model).items()]


def file_bytes(tensors: Iterable[Entry]) -> int:
    """Return the exact size of a safetensors file of these tensors: 8 bytes, a padded JSON header, data."""
    header: dict[str, dict[str, str | list[int]]] = {}
    offset = 0
    for name, shape, dtype in sorted(tensors, key=lambda e: (-_ORDER[e.dtype], e.name)):
        end = offset + torch.Size(shape).numel() * dtype.itemsize
        header[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return 8 + -(-len(text) // 8) * 8 + offset
