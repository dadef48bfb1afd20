"""Where a stored study lies: its database, and the folder of its files."""

from __future__ import annotations

from pathlib import Path

from optuna.study import Study

from ...objectives.errors import RankfrontError
from .database import database_of
from .errors import storage_errors
from .folder import Folder, folder_name
from .identity import identity_in
from .studies import load_existing


def located(folder: Path | None, storage: str | None, name: str | None) -> tuple[Study, Folder]:
    """Return a stored study and its folder.

    Args:
        folder: the study's; None where the study in the database says which it is.
        storage: the database's URL where it is not the folder's own.
        name: the study's; None for that of the folder, or the only one in the database.

    Raises:
        RankfrontError: there is no such study, or its folder is not known, or not on this machine.
    """
    if folder is None and storage is None:
        raise RankfrontError("a study must be given: DIR, its folder, or --storage URL, its database")
    if folder is not None:
        Folder(folder).check_holds_study(storage)
        Folder(folder).check_storage(storage)
        name = name or Folder(folder).study_name()
    url = database_of(folder or Path(), storage)
    with storage_errors(url):
        study = load_existing(url, name)
        identity = identity_in(study)
    if folder is None and "files" in identity:  # every machine has a folder of its own
        folder = Path("runs") / folder_name(study.study_name)
    elif folder is None:
        folder = Path(str(identity.get("out", "")))
        if "out" not in identity:
            raise RankfrontError(f"study {study.study_name!r} does not say where its folder is: give DIR, too")
        if not folder.is_dir():
            raise RankfrontError(
                f"the files of study {study.study_name!r} must be in {folder}, but this machine has no such folder: "
                "share it under the same path"
            )
    return study, Folder(folder)
