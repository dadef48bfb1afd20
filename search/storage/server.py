"""What the server of a database does for a study besides keeping it: the interface, and which databases have one.

`postgres` and `mysql` implement it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from .errors import read_url

LOCK_TIMEOUT_S = 600
"""How long a lock is waited for."""


class Server(Protocol):
    """A database's server. It frees a session's locks when the session ends, whatever ends it."""

    password_variable: str
    """The environment variable that a password is taken from where the URL has none."""
    engine: dict[str, Any]
    """What SQLAlchemy's engine for studies is to be made with."""

    def connect_with(self) -> dict[str, Any]:
        """Return what the driver is to be called with besides the URL, whose own options come first."""
        ...

    def prepare(self, engine: Engine) -> None:
        """Make Optuna's tables take all that a study may hold; another worker must not do so at the same time."""
        ...

    def begin(self, connection: Connection) -> None:
        """Set what a session that holds locks needs."""
        ...

    def take(self, connection: Connection, lock: str, *, wait: bool) -> bool:
        """Take a lock; returns whether it could be had within `LOCK_TIMEOUT_S`, or without ``wait`` at once."""
        ...

    def give(self, connection: Connection, lock: str) -> bool:
        """Free a lock; returns whether this session held it."""
        ...

    def held(self, connection: Connection, locks: Collection[str]) -> set[str]:
        """Return which of these locks any session holds."""
        ...

    def started(self, connection: Connection) -> str:
        """Return when the server started, so that another server's start differs."""
        ...


def server_of(url: str) -> Server | None:
    """Return what the server of a database does; None of a database that has no server, or whose locks are not used."""
    match read_url(url).get_backend_name():
        case "postgresql":
            from .postgres import Postgres

            return Postgres(url)
        case "mysql":
            from .mysql import MySQL

            return MySQL(url)
    return None
