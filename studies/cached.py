"""Folders in the user's cache that take long to make: made on first use, whole or not at all, by one process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ..objectives.io.files import PART, disk_error


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return a folder, made by ``make(temporary)`` where it is not there; other processes wait meanwhile.

    What a killed process left of it is removed by the next one that makes it.

    Raises:
        RankfrontError: it cannot be written.
    """
    if folder.is_dir():
        return folder
    temporary = folder.with_name(f".{folder.name}{PART}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                for left in folder.parent.glob(f".{folder.name}*{PART}"):
                    shutil.rmtree(left)
                try:
                    make(temporary)
                    temporary.replace(folder)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise disk_error(folder, error) from error
    return folder
