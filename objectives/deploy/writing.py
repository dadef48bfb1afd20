"""Writing the files of one network: beside their place first, and moved there only once they are checked."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import RankfrontError
from ..io.files import digest, disk_error


@dataclass(frozen=True)
class Written:
    """A file, and those that belong to it: name → SHA-256 and size in bytes."""

    path: Path
    files: dict[str, tuple[str, int]]

    @classmethod
    def of(cls, path: Path) -> Written:
        """Return what lies in the folder of a path."""
        return cls(path, {file.name: (digest(file), file.stat().st_size) for file in sorted(path.parent.iterdir())})

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(size for _, size in self.files.values())

    def move_to(self, place: Path) -> None:
        """Put the files where they belong, the main one last; raises `RankfrontError` where the disk refuses."""
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            for name in sorted(self.files, key=lambda name: name == self.path.name):
                (self.path.parent / name).replace(place.parent / name)
        except OSError as error:
            raise disk_error(place, error) from error


@contextlib.contextmanager
def workplace(place: Path) -> Iterator[Path]:
    """Yield an empty folder for the context alone, on the disk of ``place``.

    Raises:
        RankfrontError: nothing can be written there, or ``place`` is a folder.
    """
    if place.is_dir():
        raise RankfrontError(f"{place} must be a file to be written, but is a folder")
    there = next(folder for folder in place.absolute().parents if folder.exists())
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{place.name[:40]}.", dir=there)
    except OSError as error:
        raise disk_error(place, error) from error
    with folder as name:
        yield Path(name)
