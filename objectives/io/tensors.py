"""Files of tensors: safetensors, written whole or not at all, and the checkpoints that users bring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import RankfrontError
from .files import write_whole
from .fingerprint import fingerprint

FINGERPRINT = "fingerprint"
"""The entry of a safetensors file's metadata by which damaged tensors are recognised."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, whole or not at all; with metadata, their fingerprint is added to it."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if metadata is not None:
        metadata = {**metadata, FINGERPRINT: fingerprint(dict(sorted(ready.items())))}

    def save(temporary: Path) -> None:
        try:
            save_file(ready, temporary, metadata)
        except SafetensorError as error:  # its own words for whatever the system refused
            raise OSError(str(error)) from error

    write_whole(path, save)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a safetensors file's tensors and metadata.

    Raises:
        RankfrontError: the file is missing, truncated or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        if FINGERPRINT in metadata and metadata[FINGERPRINT] != fingerprint(dict(sorted(tensors.items()))):
            raise ValueError("its tensors are not those that were written")
        return tensors, metadata
    except (OSError, SafetensorError, ValueError) as error:
        raise RankfrontError(f"{path} must be a whole safetensors file, but: {error}") from None


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the state dict that a user brings: a ``.safetensors`` file, or a ``.pt`` one without any code in it.

    Raises:
        RankfrontError: the file is missing, damaged, or holds anything but tensors by name.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling garbage raises anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RankfrontError(
            f"{path} must be a checkpoint that torch.load(weights_only=True) reads, but: {reason}"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise RankfrontError(f"{path} must hold a state dict (tensors by name), but holds {type(state).__name__}")
    return state
