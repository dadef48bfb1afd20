"""The lines of a run, kept in a file of the study's folder as well as shown."""

from __future__ import annotations

from pathlib import Path


class Log:
    """Lines that are appended to a file as soon as it is known; a file that cannot be written stops nothing.

    Each line is written by itself, so that several workers may write to one file, and a killed one loses none.
    """

    def __init__(self) -> None:
        self.trouble = ""
        """Why the last line is not in the file; nothing where it is."""
        self._path: Path | None = None
        self._kept: list[str] = []

    def open(self, path: Path) -> None:
        """Append all lines to this file from now on, those that were given before as well."""
        self._path = path
        for line in self._kept:
            self(line)
        self._kept = []

    def __call__(self, line: str) -> None:
        """Take a line."""
        if self._path is None:
            self._kept.append(line)
            return
        try:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{line}\n")
            self.trouble = ""
        except OSError as error:
            self.trouble = error.strerror or type(error).__name__
