"""The database that a study lies in: SQLite in the study's folder, or any other that Optuna opens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url

from ...objectives.errors import RankfrontError
from ...objectives.given import text
from .errors import shown_url, storage_errors
from .folder import Folder

BUSY_TIMEOUT_S = 300


def database_of(folder: Path, storage: str | None) -> str:
    """Return the storage's URL: the user's own, or ``study.db`` in the study's folder."""
    if storage is not None:
        return text("storage", storage, "a database URL such as sqlite:///study.db")
    return URL.create("sqlite", database=str(Folder(folder).database)).render_as_string()


def check_url(url: str) -> None:
    """Refuse, before anything is written, a URL that names no database or one whose driver is missing."""
    with storage_errors(url):
        try:
            make_url(url).get_dialect().import_dbapi()
        except ImportError as error:
            raise RankfrontError(f"storage {shown_url(url)} needs a driver that is not installed: {error}") from error


def open_storage(url: str) -> RDBStorage:
    """Connect to the database, creating Optuna's tables where there are none; to be used in `storage_errors`."""
    with warnings_only():
        if make_url(url).get_backend_name() != "sqlite":
            return RDBStorage(url)
        # Tables are made on a first engine, then WAL: readers do not block the writer, and a commit
        # needs no fsync to survive the process (it may lose the last trial when the power fails).
        storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT_S}})
        event.listen(storage.engine, "connect", _tune_sqlite)
        storage.engine.dispose()
        return storage


@contextlib.contextmanager
def warnings_only() -> Iterator[None]:
    """Let Optuna log warnings and errors only; its own verbosity is restored afterwards."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _tune_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
