"""PostgreSQL: locks are its advisory locks. An implementation of `server.Server`.

They need a connection to the server itself, or through a pooler that keeps sessions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from .server import LOCK_TIMEOUT_S

SETTINGS = {
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    # A session that waits for a lock, or does nothing for long, is not ended for that.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    # The server finds out within a minute that a machine is gone.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "10s",
}
"""The server's settings for the session; those that its version does not know are left out."""

KEEPALIVES = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # ms
}
"""The client's settings, in seconds: it finds out within a minute that the server is gone."""

LOCK_NOT_AVAILABLE = "55P03"
"""The SQLSTATE of a lock that was waited for in vain."""

_LOCK, _TRY_LOCK, _UNLOCK = (
    text(f"SELECT pg_{name}(:key)") for name in ("advisory_lock", "try_advisory_lock", "advisory_unlock")
)
_STARTED = text("SELECT extract(epoch FROM pg_postmaster_start_time())")
_SET = text("SELECT set_config(name, :value, false) FROM pg_settings WHERE name = :name")
_HELD = text(
    "SELECT key FROM (SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS held"
    " WHERE key = ANY(:keys)"
)


class Postgres:
    """The server of a PostgreSQL database."""

    password_variable = "PGPASSWORD"
    engine: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    def connect_with(self) -> dict[str, Any]:
        """Return `KEEPALIVES` without the URL's own."""
        if self._url.get_dialect().driver not in ("psycopg", "psycopg2"):
            return {}
        return {name: value for name, value in KEEPALIVES.items() if name not in self._url.query}

    def prepare(self, engine: Engine) -> None:
        """Do nothing: they do."""

    def begin(self, connection: Connection) -> None:
        """Set `SETTINGS`."""
        for name, value in SETTINGS.items():
            connection.execute(_SET, {"name": name, "value": value})

    def take(self, connection: Connection, lock: str, *, wait: bool) -> bool:
        """Take a lock."""
        key = {"key": number_of(lock)}
        if not wait:
            return bool(connection.execute(_TRY_LOCK, key).scalar_one())
        try:
            connection.execute(_LOCK, key)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            return False
        return True

    def give(self, connection: Connection, lock: str) -> bool:
        """Free a lock."""
        return bool(connection.execute(_UNLOCK, {"key": number_of(lock)}).scalar_one())

    def held(self, connection: Connection, locks: Collection[str]) -> set[str]:
        """Return which are held."""
        named = {number_of(lock): lock for lock in locks}
        return {named[key] for key in connection.execute(_HELD, {"keys": list(named)}).scalars()}

    def started(self, connection: Connection) -> str:
        """Return when, to the microsecond."""
        return str(connection.execute(_STARTED).scalar_one())


def number_of(lock: str) -> int:
    """Return the number that an advisory lock of that name has: 64 bits of a hash."""
    return int.from_bytes(hashlib.sha256(f"rankfront\n{lock}".encode()).digest()[:8], "big", signed=True)
