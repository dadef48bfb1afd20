"""A study's folder: what lies where in ``DIR/``."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...objectives.errors import RankfrontError
from ...objectives.io.files import disk_error, read_json, why


def folder_name(name: str) -> str:
    """Return a unique folder name for a study of any name: plain characters, no longer than 80.

    >>> folder_name("my-net"), folder_name("../../x")
    ('my-net', 'x-9cdf6a50')
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")[:70]
    return plain if name and plain == name else f"{plain or 'study'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Folder:
    """The paths of one study's files."""

    path: Path

    @property
    def database(self) -> Path:
        """Every trial, where no other database is given."""
        return self.path / "study.db"

    @property
    def cache(self) -> Path:
        """Where decompositions are kept."""
        return self.path / "cache"

    @property
    def front(self) -> Path:
        """The front as a table."""
        return self.path / "front.csv"

    @property
    def best(self) -> Path:
        """Where the best model under the budget lies, with its plan."""
        return self.path / "best"

    @property
    def finished(self) -> Path:
        """Where the model of ``finish`` lies, with its plan."""
        return self.path / "finished"

    @property
    def architecture(self) -> Path:
        """What every model's folder gets besides weights and plan: see `objectives.export.architecture`."""
        return self.path / "architecture"

    @property
    def shared(self) -> Path:
        """Weights that all plans share, where they were trained."""
        return self.path / "shared.safetensors"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        """What every run said."""
        return self.path / "run.log"

    @property
    def manifest(self) -> Path:
        """What is needed to repeat the study."""
        return self.path / "manifest.json"

    @property
    def layers(self) -> Path:
        """Every layer's options, with what they cost."""
        return self.path / "layers.json"

    @property
    def workers(self) -> Path:
        """Where every process at work on the study holds its liveness lock."""
        return self.path / "workers"

    @property
    def models(self) -> Path:
        """Where the weights of the front's trials lie."""
        return self.path / "models"

    def weights(self, trial: int) -> Path:
        """Where a trial's weights lie, while it is on the front."""
        return self.models / f"{trial}.safetensors"

    def with_weights(self) -> set[int]:
        """Return the trials whose weights are there."""
        return {int(path.stem) for path in self.models.glob("*.safetensors") if path.stem.isdecimal()}

    def drop_weights(self, trials: Iterable[int]) -> None:
        """Delete the weights of these trials, where they are there."""
        for trial in trials:
            self.weights(trial).unlink(missing_ok=True)

    def check(self) -> None:
        """Raise `RankfrontError` where no file can be written (one is tried), or a study would replace others."""
        there = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if not there.is_dir():
            raise RankfrontError(f"out must be a folder, but {there} is a file")
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise RankfrontError(
                f"out must be a folder that can be written, but {there} is not: {why(error)}"
            ) from error
        if not self.database.exists() and not self.manifest.exists():
            own = (self.front, self.report, self.best, self.finished, self.models)
            if others := [path.name for path in own if path.exists()]:
                raise RankfrontError(
                    f"out must be a study's folder or one of its own, but {self.path} holds no study and a study would "
                    f"replace its {', '.join(others)}: give another folder, or remove these"
                )

    def study_name(self) -> str | None:
        """Return the name of the study here, as its manifest says; None where there is no manifest."""
        return read_json(self.manifest).get("study") if self.manifest.exists() else None

    def check_storage(self, storage: str | None) -> None:
        """Raise `RankfrontError` where the study here lies in another database than this one; None: the folder's."""
        if not self.manifest.exists():
            return
        from .errors import shown_url  # SQLAlchemy takes a moment to import, and most commands need none of it

        there = self._elsewhere(read_json(self.manifest).get("storage"))
        asked = self._elsewhere(None if storage is None else shown_url(storage))
        if there and not asked:
            raise RankfrontError(f"{self.path} holds a study whose database is {there}; give --storage")
        if asked and not there and self.database.exists():
            raise RankfrontError(
                f"{self.path} holds a study whose database is its own, not {asked}: leave --storage out, or take the "
                f"study there: rankfront move {self.path} --storage URL"
            )

    def _elsewhere(self, shown: str | None) -> str | None:
        """Return what is shown of a database's URL; None for the folder's own."""
        return None if shown is None or Path(shown).resolve() == self.database.resolve() else shown

    def check_holds_study(self, storage: str | None) -> None:
        """Raise `RankfrontError` where there is no database here, and none is given."""
        if storage is None and not self.database.exists():
            elsewhere = read_json(self.manifest).get("storage") if self.manifest.exists() else None
            what = f"its study lies in {elsewhere}: give --storage"
            raise RankfrontError(
                f"{self.path} must hold a study.db, but has none: "
                + (what if elsewhere else f"rankfront run STUDY --out {self.path} makes it")
            )

    def prepare(self) -> None:
        """Create the folder; raises `RankfrontError` where it cannot be made. Its locks show whether it is writable."""
        self.check()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(self.path, error) from error
