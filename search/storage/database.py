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
from .errors import read_url, shown_url, storage_errors
from .folder import Folder
from .patience import Patience

BUSY_TIMEOUT_S = 300


def database_of(folder: Path, storage: str | None) -> str:
    """Return the storage's URL: the user's own, or ``study.db`` in the study's folder."""
    if storage is not None:
        return text("storage", storage, "a database URL such as sqlite:///study.db")
    return URL.create("sqlite", database=str(Folder(folder).database)).render_as_string()


def check_url(url: str) -> None:
    """Refuse, before anything is written, a URL that names no database or one whose driver is missing."""
    with storage_errors(url):
        parsed = read_url(url)
        try:
            parsed.get_dialect().import_dbapi()
        except ImportError as error:
            remedy = ""
            if parsed.get_backend_name() == "postgresql":
                remedy = "; pip install 'rankfront[postgresql]', and begin the URL with postgresql+psycopg://"
            raise RankfrontError(
                f"storage {shown_url(url)} needs a driver that is not installed: {error}{remedy}"
            ) from error


def is_postgres(url: str) -> bool:
    """Return whether a URL names a PostgreSQL database."""
    return read_url(url).get_backend_name() == "postgresql"


def open_storage(url: str, patience: Patience | None = None) -> RDBStorage:
    """Connect to the database, creating Optuna's tables where there are none; to be used in `storage_errors`.

    Args:
        url: the database's.
        patience: waits for a PostgreSQL database that is away later on; None waits without a word.
    """
    with warnings_only():
        if is_postgres(url):
            return _open_postgres(url, patience or Patience(url))
        if make_url(url).get_backend_name() != "sqlite":
            return RDBStorage(url)
        # Tables are made on a first engine, then WAL: readers do not block the writer, and a commit
        # needs no fsync to survive the process (it may lose the last trial when the power fails).
        storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT_S}})
        event.listen(storage.engine, "connect", _tune_sqlite)
        storage.engine.dispose()
        return storage


def _open_postgres(url: str, patience: Patience) -> RDBStorage:
    from .patient_storage import PatientStorage
    from .postgres_session import Session, number_of

    # Workers of any study may be creating the tables.
    with Session(url, patience).hold(number_of("tables")):
        return PatientStorage(url, patience)


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
