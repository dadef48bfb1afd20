"""What a shell offers where the user presses Tab; typer writes the shells' own scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..study.ready import ready_studies


def one_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a completion of these names, or of the last of several with commas between.

    >>> one_of(["svd", "spatial", "tt"])("tt,s")
    ['tt,svd', 'tt,spatial']
    """

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in choices if name.startswith(last)]

    return complete


def ready_or_files(incomplete: str) -> list[str]:
    """Return ready studies, Python files, and folders on the way to them."""
    names = [name for name in ready_studies() if name.startswith(incomplete)]
    files = [str(path) for path in _beside(incomplete) if path.suffix == ".py" and path.is_file()]
    return [*names, *files, *folders(incomplete)]


def folders(incomplete: str) -> list[str]:
    """Return the folders that begin so; hidden ones only where a dot was typed."""
    return [f"{path}/" for path in _beside(incomplete) if path.is_dir()]


def _beside(incomplete: str) -> list[Path]:
    """Return what lies where the text points to, and begins as its last part does."""
    folder, begins = Path(incomplete), ""
    if not incomplete.endswith("/"):
        folder, begins = folder.parent, folder.name
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    return [path for path in found if path.name.startswith(begins or "") and (begins or path.name[0] != ".")]
