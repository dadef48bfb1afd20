"""Short hashes that tell models and data apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def fingerprint(tensors: Mapping[str, Tensor], *more: object) -> str:
    """Return a SHA-256 of names, types, shapes and values of tensors, and of whatever else prints."""
    return fingerprints(tensors, *more)[-1]


def fingerprints(tensors: Mapping[str, Tensor], *more: object) -> list[str]:
    """Return, from one pass, the fingerprints of none of the tensors, the first one, the first two … and all."""
    digest = hashlib.sha256("|".join(map(str, more)).encode())
    found = [digest.hexdigest()]
    for name, tensor in tensors.items():
        digest.update(f"|{name} {tensor.dtype} {tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        found.append(digest.hexdigest())
    return found


def named(tensors: Iterable[Tensor]) -> dict[str, Tensor]:
    """Name tensors by their position."""
    return {str(index): tensor for index, tensor in enumerate(tensors)}
