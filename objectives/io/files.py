"""Files that are whole or not there: each is written beside its place, synced, then renamed.

Nothing here imports torch: the command line reads fronts and manifests without it. Files of tensors are in
`tensors`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import RankfrontError

LARGEST_JSON = 2**26
"""Bytes; a larger file is not read."""

PART = ".part"
"""Ending of the names of temporary files."""


@contextlib.contextmanager
def passing(folder: Path, ending: str) -> Iterator[Path]:
    """Yield the path of a file for the context alone, in ``folder``, or in the nearest folder above that is there.

    No folder is made: it would have to be removed again while another process may be about to write into it.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    path = there / f".{secrets.token_hex(6)}{ending}"
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Delete temporary files that killed processes left in a folder and those below it.

    Not those of `passing` files, which begin with two dots: who writes such is not among a study's workers yet.
    """
    for path in folder.rglob(f".[!.]*{PART}"):
        path.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary path beside ``path``, sync it, and rename it to ``path``.

    Raises:
        RankfrontError: the disk is full or read-only, or the folder may not be written.
    """
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(6)}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Created as any new file is, so its mode is what the process's umask leaves; ``write`` may replace it.
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
        write(temporary)
        temporary.chmod(mode)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RankfrontError(f"{path} must be a readable file, but: {error}") from None


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
    return RankfrontError(f"cannot write {path}: {why(error)}")


def why(error: BaseException) -> str:
    """Return why the system wrote nothing, in words."""
    code = error.errno if isinstance(error, OSError) else None
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "permission is denied",
        errno.EPERM: "permission is denied",
        errno.ENOENT: "no file can be made there",
    }
    return reasons.get(code or 0, str(error))
