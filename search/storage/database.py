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
from .server import Server, server_of
from .study_storage import StudyStorage

BUSY_TIMEOUT_S = 300

REMEDIES = {
    backend: f"; pip install 'rankfront[{backend}]', and begin the URL with {backend}+{driver}://"
    for backend, driver in (("postgresql", "psycopg"), ("mysql", "pymysql"))
}
"""What to do where the driver of a server's database is missing."""

MACHINES = "a database that all machines reach: storage postgresql+psycopg://… or mysql+pymysql://…"
"""What several machines need."""


def database_of(folder: Path, storage: str | None) -> str:
    """Return the storage's URL: the user's own, or ``study.db`` in the study's folder."""
    if storage is not None:
        return text("storage", storage, "a database URL such as sqlite:///study.db")
    return URL.create("sqlite", database=str(Folder(folder).database)).render_as_string()


def check_url(url: str) -> None:
    """Refuse, before anything is written, a URL that names no database or one whose driver is missing."""
    with storage_errors(url):
        parsed = read_url(url)
        if parsed.get_backend_name() == "mariadb":
            raise RankfrontError("storage must begin with mysql+pymysql:// for MariaDB, too, but got mariadb")
        try:
            parsed.get_dialect().import_dbapi()
        except ImportError as error:
            remedy = REMEDIES.get(parsed.get_backend_name(), "")
            raise RankfrontError(
                f"storage {shown_url(url)} needs a driver that is not installed: {error}{remedy}"
            ) from error


def has_server(url: str | None) -> bool:
    """Return whether several machines can work on a study in that database, None being the folder's own."""
    return url is not None and server_of(url) is not None


def open_storage(url: str, patience: Patience | None = None) -> RDBStorage:
    """Connect to the database, creating Optuna's tables where there are none; to be used in `storage_errors`.

    Args:
        url: the database's.
        patience: waits for a server that is away later on; None waits without a word.
    """
    with warnings_only():
        if (server := server_of(url)) is not None:
            return _open_on(server, url, patience or Patience(url))
        if make_url(url).get_backend_name() != "sqlite":
            return StudyStorage(url)
        # Tables are made on a first engine, then WAL: readers do not block the writer, and a commit
        # needs no fsync to survive the process (it may lose the last trial when the power fails).
        storage = StudyStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT_S}})
        event.listen(storage.engine, "connect", _tune_sqlite)
        storage.engine.dispose()
        return storage


def _open_on(server: Server, url: str, patience: Patience) -> RDBStorage:
    from .patient_storage import PatientStorage
    from .session import Session

    # Workers of any study may be creating the tables.
    with Session(url, server, patience).hold("tables"):
        storage = PatientStorage(url, server, patience)
        server.prepare(storage.engine)
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
