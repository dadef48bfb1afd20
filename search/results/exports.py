"""The exports of a study: each is a file with its description beside it; the study keeps where they were written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError
from ...objectives.export.plan_files import read_plan, save_plan

if TYPE_CHECKING:
    from optuna.study import Study

    from ...objectives.plan import Plan
    from ..storage.folder import Folder

EXPORTS = "exports"
"""The study's user attribute with their paths: within the study's folder from there, else from the root."""

EXPORT = "export"
"""The entry of a description that says how the file was written."""


@dataclass(frozen=True)
class StoredExport:
    """An export as its description has it."""

    path: Path
    plan: Plan
    about: dict[str, Any]
    """The entries of a model's ``plan.json``: study, trial, metrics …"""

    @property
    def how(self) -> dict[str, Any]:
        """What was written, and what was found: see `study.export`."""
        return self.about[EXPORT]


def description_of(path: Path) -> Path:
    """Return where the description of an export lies.

    >>> description_of(Path("nets/small.onnx")).name
    'small.onnx.plan.json'
    """
    return path.with_name(f"{path.name}.plan.json")


def describe(path: Path, plan: Plan, about: dict[str, Any]) -> None:
    """Write an export's description."""
    save_plan(description_of(path), plan, about)


def read_export(path: Path) -> StoredExport:
    """Return an export as its description has it; raises `RankfrontError` where that is missing or damaged."""
    plan, about = read_plan(description_of(path))
    if not isinstance(how := about.get(EXPORT), dict) or not isinstance(how.get("files"), dict):
        raise RankfrontError(f"{description_of(path)} must describe an export, but has no entry {EXPORT}")
    return StoredExport(path, plan, about)


def note_export(study: Study, folder: Folder, path: Path) -> None:
    """Keep where an export was written. To be called under the study lock."""
    known = list(study.user_attrs.get(EXPORTS, []))
    if (place := _place(folder, path)) not in known:
        study.set_user_attr(EXPORTS, [*known, place])


def exports_of(study: Study, folder: Folder) -> list[Path]:
    """Return where exports were written; they need not be there any more."""
    return [folder.path / place for place in study.user_attrs.get(EXPORTS, [])]


def _place(folder: Folder, path: Path) -> str:
    whole, root = path.resolve(), folder.path.resolve()
    return (whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix()
