"""Files that are whole or not there: written aside, synced, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import RankfrontError
from .fingerprint import fingerprint

FINGERPRINT = "fingerprint"
"""The entry of a safetensors file's metadata that tells damaged tensors."""

LARGEST_JSON = 2**26
"""Bytes; a larger file is not read."""

PART = ".part"
"""How names of temporary files end."""


def sweep(folder: Path) -> None:
    """Delete temporary files that killed processes left in a folder and those below it."""
    for path in folder.rglob(f".*{PART}"):
        path.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary path beside ``path``, sync it, and rename it to ``path``.

    Raises:
        RankfrontError: the disk is full or read-only, or the folder may not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=PART)
        os.close(handle)
    except OSError as error:
        raise disk_error(path, error) from error
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise disk_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, whole or not at all; with metadata, their fingerprint is added to it."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if metadata is not None:
        metadata = {**metadata, FINGERPRINT: fingerprint(dict(sorted(ready.items())))}
    write_whole(path, lambda temporary: save_file(ready, temporary, metadata))


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


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RankfrontError(f"{path} must be a readable file, but: {error}") from None


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
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RankfrontError(
            f"{path} must be a checkpoint that torch.load(weights_only=True) reads, but: {told}"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise RankfrontError(f"{path} must hold a state dict (tensors by name), but holds {type(state).__name__}")
    return state


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file's object.

    Raises:
        RankfrontError: the file is missing, or holds anything else.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, more than any of ours")
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RankfrontError(f"{path} must be a readable JSON file, but: {error}") from None
    if not isinstance(data, dict):
        raise RankfrontError(f"{path} must hold a JSON object, but holds {type(data).__name__}")
    return data


def disk_error(path: Path, error: BaseException) -> RankfrontError:
    """Say in one line why nothing could be written."""
    code = error.errno if isinstance(error, OSError) else None
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "permission is denied",
        errno.EPERM: "permission is denied",
    }
    return RankfrontError(f"cannot write {path}: {reasons.get(code or 0, str(error))}")
