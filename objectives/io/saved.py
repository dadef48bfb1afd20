"""What a saved file of a network holds, and how large it is, without writing it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

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


class Entry(NamedTuple):
    """One tensor of a saved file."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype


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
