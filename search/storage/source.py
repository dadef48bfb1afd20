"""How a study's task was loaded: kept with the study, so that ``finish`` and ``verify`` load it as ``run`` did."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError
from ...objectives.io.files import digest, read_json

if TYPE_CHECKING:
    from optuna.study import Study

    from .folder import Folder

SOURCE = "source"
"""The study's user attribute with it; None for a study that was begun in Python."""


_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("sha256", "folder"), str),
    **dict.fromkeys(("options", "asked"), dict),
    "seed": int,
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A ready study's name or a Python file, and the options it was loaded with."""

    study: str
    """A ready study's name, or the file's absolute path."""
    sha256: str | None = None
    """Of the file; None for a ready study."""
    folder: str = "."
    """The folder that ``run`` was started in: a ready study's data lies in its ``data``."""
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those given of `Loading`'s, as plain data."""

    @classmethod
    def of_file(cls, path: Path, **known: Any) -> Source:
        """Return the source that is this Python file, as it is now."""
        return cls(study=str(path.resolve()), sha256=digest(path), **known)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Source:
        """Return what `to_json` gave, or what the manifest of an older version says.

        Raises:
            RankfrontError: it is neither.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("study"), str):
            raise RankfrontError(f"how the study's task was loaded must name a study, but is {data!r:.80}")
        for name, kinds in _FIELDS.items():
            if data.get(name) is not None and not isinstance(data[name], kinds):
                raise RankfrontError(f"how the study's task was loaded is damaged: {name} cannot be {data[name]!r:.80}")
        known = {name: data[name] for name in ("study", "sha256", "folder", "seed") if data.get(name) is not None}
        # In an older version's manifest int8 is False where it was not given.
        older = {**(data.get("asked") or {}), "kinds": data.get("kinds"), "int8": data.get("int8") or None}
        asked = older if data.get("options") is None else data["options"]
        return cls(**known, options={name: value for name, value in asked.items() if value is not None})

    def content(self) -> bytes:
        """Return what is in the file.

        Raises:
            RankfrontError: it is missing, or not the file that the study was run with.
        """
        path = Path(self.study)
        try:
            content = path.read_bytes()
        except OSError:
            content = None
        if self.sha256 is None:
            what = "an older version began the study and did not keep what was in it"
        elif content is None:
            what = "it is not there"
        elif hashlib.sha256(content).hexdigest() != self.sha256:
            what = "it has changed since"
        else:
            return content
        raise RankfrontError(
            f"the study's file {path} must be the one that was run, but {what}: "
            "--study FILE says which file to take, or `rankfront run FILE` with the study's --out"
        )


def source_of(study: Study, folder: Folder) -> Source | None:
    """Return how a study's task was loaded; None where it was begun in Python.

    An older version kept it in the manifest. Anybody can edit that file, so a hash in it is not trusted: a Python file
    that only the manifest names is refused by `Source.content`.
    """
    if SOURCE in study.user_attrs:
        stored = study.user_attrs[SOURCE]
        return None if stored is None else Source.from_json(stored)
    stored = read_json(folder.manifest).get("source") if folder.manifest.exists() else None
    return None if stored is None else replace(Source.from_json(stored), sha256=None)


def keep_source(study: Study, source: Source | None) -> None:
    """Store how a study's task was loaded."""
    study.set_user_attr(SOURCE, None if source is None else source.to_json())
