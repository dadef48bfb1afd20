"""Studies on disk: opened or created, recognised, and every failure of the database told in one line."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ...objectives.errors import RankfrontError

IDENTITY = "identity"
"""The study's user attribute that says which model, data and settings it belongs to."""

BUSY_TIMEOUT_S = 300


def database_of(folder: Path, storage: str | None) -> str:
    """Return the storage's URL: the user's own, or ``study.db`` in the study's folder."""
    if storage is not None:
        return storage
    return URL.create("sqlite", database=str(folder / "study.db")).render_as_string()


def check_url(url: str) -> None:
    """Refuse, before anything is written, a URL that names no database or one whose driver is missing."""
    with storage_errors(url):
        try:
            make_url(url).get_dialect().import_dbapi()
        except ImportError as error:
            raise RankfrontError(f"storage {_safe(url)} needs a driver that is not installed: {error}") from error


@contextlib.contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn whatever the database raises into a `RankfrontError` of one line."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise RankfrontError(_told(url, error)) from error


def open_storage(url: str) -> RDBStorage:
    """Connect to the database, creating Optuna's tables where there are none; to be used in `storage_errors`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if make_url(url).get_backend_name() != "sqlite":
        return RDBStorage(url)
    # Tables are made on a first engine, then WAL: readers do not block the writer, and a commit
    # needs no fsync to survive the process (it may lose the last trial when the power fails).
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT_S}})
    event.listen(storage.engine, "connect", _tune_sqlite)
    storage.engine.dispose()
    return storage


def _tune_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def create_or_resume(
    storage: RDBStorage,
    name: str,
    objectives: Sequence[str],
    identity: dict[str, Any],
    where: str,
    alone: bool,
    higher_is_better: bool = True,
) -> Study:
    """Return the study of that name: the stored one if it is of the same identity, else a new one.

    ``alone`` says that no other study may be stored there.

    Raises:
        RankfrontError: the stored study belongs to another model, other data or other settings.
    """
    directions = [
        StudyDirection.MAXIMIZE if place == 0 and higher_is_better else StudyDirection.MINIMIZE
        for place in range(len(objectives))
    ]
    known = optuna.get_all_study_names(storage)
    if name not in known:
        if known and alone:
            raise RankfrontError(f"{where} holds study {known[0]!r}, not {name!r}; give another --out")
        study = optuna.create_study(study_name=name, storage=storage, directions=directions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(objectives))  # Optuna's own plots then say what they show
        study.set_user_attr(IDENTITY, identity)
        return study
    study = optuna.load_study(study_name=name, storage=storage)
    if IDENTITY not in study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(IDENTITY, identity)  # its creation was interrupted
    stored = study.user_attrs.get(IDENTITY)
    if not isinstance(stored, dict):
        raise RankfrontError(f"{where} must hold a study of rankfront's, but study {name!r} in it is another's")
    differing = [key for key in {**identity, **stored} if stored.get(key) != identity.get(key)]
    if differing:
        told = "; ".join(
            f"its {key} is {_shown(stored.get(key))}, not {_shown(identity.get(key))}" for key in differing
        )
        if differing == ["dense model"]:
            told += " (does the code that makes the model give the same weights every time?)"
        raise RankfrontError(f"{where} belongs to another study: {told}; give another --out, or what it was begun with")
    return study


def load_existing(url: str, name: str | None) -> Study:
    """Return a stored study, by name or as the only one there.

    Raises:
        RankfrontError: there is none, or the choice is not clear.
    """
    storage = open_storage(url)
    names = optuna.get_all_study_names(storage)
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        raise RankfrontError(f"storage {_safe(url)} must hold study {name!r}, but holds {', '.join(names) or 'none'}")
    study = optuna.load_study(study_name=name, storage=storage)
    if IDENTITY not in study.user_attrs:
        raise RankfrontError(f"study {name!r} must be one of rankfront's, but is another's")
    return study


def _told(url: str, error: BaseException) -> str:
    text = str(error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error)
    reason = text.splitlines()[0] if text else type(error).__name__
    where = _safe(url)
    if isinstance(error, (ArgumentError, NoSuchModuleError)):
        return f"storage must be a database URL such as sqlite:///study.db, but got {where!r}"
    if "not a database" in reason or "malformed" in reason:
        return f"{where} is damaged and cannot be read ({reason}); move it away, or give another --out"
    if "readonly" in reason or "unable to open" in reason:
        return f"{where} cannot be written: read-only, or its folder is ({reason})"
    if "full" in reason:
        return f"{where} cannot be written: the disk is full"
    return f"storage {where} failed: {reason}"


def _safe(url: str) -> str:
    """Return the URL without its password; for SQLite the file's path."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return url[:80]
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        return parsed.database
    return parsed.render_as_string(hide_password=True)


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
