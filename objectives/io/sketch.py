"""Sketches: the content of tensors in a few numbers, stored as JSON and compared with a tolerance.

Integers are hashed. Of floating-point numbers one projection a sample is stored, so that the last bits, which differ
between CPUs, do not matter: ``p_i = Σ_k c_k x_ik / √n`` with fixed coefficients ``c`` of mean square 1. It is about as
large as the numbers themselves, and changes when any value changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .arrays import tensor_of
from .fingerprint import fingerprint

TOLERANCE = 1e-3
"""Difference of two numbers that are the same, relative to the root mean square of the tensor they are from."""

Sketch = Any
"""Plain data; None where nothing is known."""


def sketch(value: Any) -> Sketch:
    """Return what is known of tensors, numbers and text in a nested structure, first dimension: samples."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        value = tensor_of(value)
    if isinstance(value, Tensor):
        return _of_tensor(value.detach().cpu())
    if isinstance(value, bool | int | str):
        return {"value": value}
    if isinstance(value, float):
        return _of_tensor(torch.tensor([value], dtype=torch.float64))
    if isinstance(value, Mapping):
        return {"items": {str(key): sketch(part) for key, part in value.items()}}
    if isinstance(value, tuple | list):
        return {"parts": [sketch(part) for part in value]}
    if is_dataclass(value) and not isinstance(value, type):
        return {"items": {field.name: sketch(getattr(value, field.name)) for field in fields(value)}}
    return None


def common(first: Sketch, second: Sketch) -> Sketch:
    """Return what two sketches of the same thing agree on: of tensors that differ only type and shape."""
    if first == second:
        return first
    if not isinstance(first, dict) or not isinstance(second, dict):
        return None
    if first.keys() == second.keys():
        if "items" in first and first["items"].keys() == second["items"].keys():
            return {"items": {key: common(part, second["items"][key]) for key, part in first["items"].items()}}
        if "parts" in first and len(first["parts"]) == len(second["parts"]):
            return {"parts": [common(*pair) for pair in zip(first["parts"], second["parts"], strict=True)]}
    kept = {key: first[key] for key in ("type", "shape") if key in first and first[key] == second.get(key)}
    return kept or None


def agree(stored: Sketch, asked: Sketch) -> bool:
    """Return whether two sketches may be of the same content: what only one of them knows does not count."""
    if not isinstance(stored, dict) or not isinstance(asked, dict):
        return True
    if "items" in stored and "items" in asked:
        one, other = stored["items"], asked["items"]
        return one.keys() == other.keys() and all(agree(part, other[key]) for key, part in one.items())
    if "parts" in stored and "parts" in asked:
        one, other = stored["parts"], asked["parts"]
        return len(one) == len(other) and all(agree(*pair) for pair in zip(one, other, strict=True))
    if "parts" in stored or "parts" in asked or "items" in stored or "items" in asked:
        return False
    shared = (stored.keys() & asked.keys()) - {"values", "size"}
    if any(stored[key] != asked[key] for key in shared) or ("value" in stored) != ("value" in asked):
        return False
    if "values" not in stored or "values" not in asked:
        return True
    allowed = TOLERANCE * max(stored["size"], asked["size"]) + 1e-30
    pairs = zip(stored["values"], asked["values"], strict=True)
    return all(abs(one - other) <= allowed for one, other in pairs)


def _of_tensor(tensor: Tensor) -> Sketch:
    known: dict[str, Any] = {"type": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
    if tensor.layout != torch.strided or tensor.is_quantized:
        return known
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if not tensor.is_floating_point():
        return known | {"hash": fingerprint({"": tensor})[:16]}
    rows = tensor.reshape(len(tensor), -1) if tensor.ndim else tensor.reshape(1, 1)
    known["not finite"] = rows.numel() - int(rows.isfinite().sum())
    if known["not finite"]:
        rows = rows.nan_to_num(0.0, 0.0, 0.0)
    k = torch.arange(rows.shape[1], dtype=torch.float64)
    coefficients = math.sqrt(2.0) * torch.cos(k * k * 0.7390851332151607 + k)
    values, squares = [], 0.0
    for row in rows:  # one at a time: in float64 all of them may not fit
        row = row.double()
        values.append(float(row @ coefficients) / math.sqrt(max(1, rows.shape[1])))
        squares += float(row.square().sum())
    size = math.sqrt(squares / max(1, rows.numel()))
    return known | {"size": float(f"{size:.6g}"), "values": [float(f"{value:.6g}") for value in values]}
