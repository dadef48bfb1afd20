"""A study taken from one database to another: all of it or nothing, whenever it is interrupted.

The copy is made under another name, compared with the original, and renamed in one statement: from then on the study
lies there. Then the manifest says so, and the original is taken away. The same command goes on wherever it stopped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial
from sqlalchemy import text

from ...objectives.errors import RankfrontError
from ...objectives.io.files import read_json, write_json
from .database import database_of, open_storage, warnings_only
from .errors import LockLost, shown_url, storage_errors
from .folder import Folder
from .identity import IDENTITY
from .locks import locks_of

MOVED = ".moved"
"""Ending of the name of a folder's own database whose study lies elsewhere now."""


def move(folder: Folder, storage: str, *, back: bool) -> None:
    """Take a study from its folder's own database to another one, or back.

    Args:
        folder: the study's.
        storage: the other database's URL.
        back: whether it comes back from there.

    Raises:
        RankfrontError: there is no such study, a worker is alive, or another study lies there.
    """
    name = folder.study_name()
    if name is None or Path(shown_url(storage)).resolve() == folder.database.resolve():
        raise RankfrontError(
            f"move needs a study's folder, and another database than its own, but got {folder.path} and "
            f"{shown_url(storage)}"
        )
    source, target = (storage, None) if back else (None, storage)
    url = database_of(folder.path, storage)
    with storage_errors(url), warnings_only():
        while True:
            locks = [locks_of(folder, where, name) for where in (source, target)]
            with contextlib.suppress(LockLost), locks[0].study(), locks[1].study():
                if count := max(each.remove_dead() for each in locks):
                    raise RankfrontError(
                        f"study {name!r} must have no worker when it is moved, but {count} "
                        f"{'is' if count == 1 else 'are'} at work: stop them, or wait"
                    )
                _move(folder, name, source, target)
                return


def _move(folder: Folder, name: str, source: str | None, target: str | None) -> None:
    there = _opened(folder, source)
    old = None if there is None else _study(there, name)
    storage = open_storage(database_of(folder.path, target))
    new = _study(storage, name)
    if old is None and new is None:
        raise RankfrontError(f"{_shown(folder, source)} must hold study {name!r}, but does not")
    if old is not None and new is not None and not _continues(new, old):
        if not _continues(old, new):
            raise RankfrontError(f"{_shown(folder, target)} holds another study {name!r} already")
        optuna.delete_study(study_name=name, storage=storage)  # a copy, made before the original went on
        new = None
    if old is not None and new is None:
        _copy(folder, old, storage, target)
    _write_manifest(folder, target)
    if old is not None and there is not None:
        _take_away(folder, old, there, source)


def _copy(folder: Folder, old: Study, storage: RDBStorage, target: str | None) -> None:
    passing = f"{old.study_name} (is being moved here)"
    if passing in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=passing, storage=storage)
    optuna.copy_study(
        from_study_name=old.study_name, from_storage=old._storage, to_storage=storage, to_study_name=passing
    )
    copy = optuna.load_study(study_name=passing, storage=storage)
    identity = {key: value for key, value in old.user_attrs[IDENTITY].items() if key != "out"}
    # A database elsewhere can be reached from any folder, but the weights lie in one.
    shared = target is None or "files" in identity
    copy.set_user_attr(IDENTITY, identity | ({} if shared else {"out": str(folder.path.resolve())}))
    copy = optuna.load_study(study_name=passing, storage=storage)  # what was stored, not what is remembered
    if not (_continues(copy, old) and _continues(old, copy)):
        raise RankfrontError(f"the copy of study {old.study_name!r} differs from the study: nothing was moved")
    _rename(storage, passing, old.study_name)


def _rename(storage: RDBStorage, before: str, after: str) -> None:
    statement = text("UPDATE studies SET study_name = :after WHERE study_name = :before")
    with storage.engine.begin() as connection:
        connection.execute(statement, {"before": before, "after": after})


def _write_manifest(folder: Folder, target: str | None) -> None:
    known = {key: value for key, value in read_json(folder.manifest).items() if key != "storage"}
    write_json(folder.manifest, known | ({} if target is None else {"storage": shown_url(target)}))


def _take_away(folder: Folder, old: Study, storage: RDBStorage, source: str | None) -> None:
    if source is not None:
        optuna.delete_study(study_name=old.study_name, storage=old._storage)
        return
    with storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    storage.engine.dispose()
    folder.database.replace(folder.database.with_name(folder.database.name + MOVED))


def _opened(folder: Folder, source: str | None) -> RDBStorage | None:
    """Return a database; None where the folder has none of its own."""
    if source is None and not folder.database.exists():
        return None
    return open_storage(database_of(folder.path, source))


def _study(storage: RDBStorage, name: str) -> Study | None:
    return optuna.load_study(study_name=name, storage=storage) if name in optuna.get_all_study_names(storage) else None


def _continues(longer: Study, shorter: Study) -> bool:
    """Return whether the first holds all that the second does, and perhaps further trials."""
    first, second = longer.get_trials(deepcopy=False), shorter.get_trials(deepcopy=False)
    return _known(longer) == _known(shorter) and _contents(first[: len(second)]) == _contents(second)


def _known(study: Study) -> tuple[Any, ...]:
    """Return what a study is known by, wherever it lies."""
    identity = {key: value for key, value in study.user_attrs.get(IDENTITY, {}).items() if key != "out"}
    return study.directions, identity


def _contents(trials: Sequence[FrozenTrial]) -> list[dict[str, str]]:
    """Return all that trials hold but their numbers in the database, as text: NaN is equal to NaN there."""
    return [{name: _as_text(value) for name, value in vars(trial).items() if name != "_trial_id"} for trial in trials]


def _as_text(value: object) -> str:
    return repr(sorted(value.items()) if isinstance(value, dict) else value)


def _shown(folder: Folder, storage: str | None) -> str:
    return shown_url(database_of(folder.path, storage))
