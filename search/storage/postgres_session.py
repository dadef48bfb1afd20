"""A PostgreSQL session that holds advisory locks, on a connection that does nothing else.

The server frees the locks when the session ends, whatever ends it. Where it ends while its process lives (the server
was restarted, the network was cut), a new session is begun. Advisory locks need a connection to the server itself, or
through a pooler that keeps sessions.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ...objectives.errors import RankfrontError
from .errors import LockLost, shown_url
from .patience import Patience, why_away

T = TypeVar("T")

LOCK_TIMEOUT_S = 600
"""How long a lock is waited for."""

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

_LOCK, _LOCK_SHARED, _TRY_LOCK, _UNLOCK, _UNLOCK_SHARED = (
    text(f"SELECT pg_{name}(:key)")
    for name in (
        "advisory_lock",
        "advisory_lock_shared",
        "try_advisory_lock",
        "advisory_unlock",
        "advisory_unlock_shared",
    )
)
_STARTED = text("SELECT extract(epoch FROM pg_postmaster_start_time())")
_SET = text("SELECT set_config(name, :value, false) FROM pg_settings WHERE name = :name")
_HELD = text(
    "SELECT key FROM (SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS held"
    " WHERE key = ANY(:keys)"
)


def connection_arguments(url: str) -> dict[str, Any]:
    """Return what a driver is to be called with besides the URL, whose own options come first."""
    parsed = make_url(url)
    if parsed.get_dialect().driver not in ("psycopg", "psycopg2"):
        return {}
    return {name: value for name, value in KEEPALIVES.items() if name not in parsed.query}


def number_of(*lock: str) -> int:
    """Return the number that a lock of that name has: 64 bits of a hash."""
    return int.from_bytes(hashlib.sha256("\n".join(("rankfront", *lock)).encode()).digest()[:8], "big", signed=True)


class Session:
    """Holds advisory locks, each known by a 64-bit number.

    It is connected while any lock is held. The first connection is not waited for; a later one is.

    Args:
        url: the database's.
        patience: waits for a database that is away.
    """

    def __init__(self, url: str, patience: Patience) -> None:
        self._where, self._patience = shown_url(url), patience
        self._engine = create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=connection_arguments(url)
        )
        self._connection: Connection | None = None
        self._was_connected = False
        self._kept: list[tuple[int, int]] = []
        self._uses = 0

    @contextlib.contextmanager
    def hold(self, key: int, *, wait: bool = True) -> Iterator[bool]:
        """Hold a lock; yields whether it could be had within `LOCK_TIMEOUT_S`, or without ``wait`` at once.

        Raises:
            LockLost: at the end, where the lock was not held until then.
        """
        with self._used():
            connection = self._do(lambda connection: connection if _take(connection, key, wait) else None)
            if connection is None:
                yield False
                return
            try:
                yield True
            except BaseException:
                with contextlib.suppress(LockLost):
                    self._give(connection, key)
                raise
            self._give(connection, key)

    @contextlib.contextmanager
    def keep(self, key: int, shared: int) -> Iterator[None]:
        """Hold a lock of one's own, and one that is shared; a new session takes both again."""

        def begin(connection: Connection) -> None:
            _keep(connection, key, shared)
            self._kept.append((key, shared))

        with self._used():
            self._do(begin)
            try:
                yield
            finally:
                self._kept.remove((key, shared))
                # Where that fails, the session is gone, and its locks are free.
                with contextlib.suppress(SQLAlchemyError):
                    if self._connection is not None:
                        self._connection.execute(_UNLOCK, {"key": key})
                        self._connection.execute(_UNLOCK_SHARED, {"key": shared})

    def held(self, keys: Collection[int]) -> list[int]:
        """Return which of these locks are held, each as often as there are sessions that hold it."""
        with self._used():
            return self._do(lambda connection: list(connection.execute(_HELD, {"keys": list(keys)}).scalars()))

    def server(self) -> str:
        """Return when the server started: to the microsecond, so another server's start differs."""
        with self._used():
            return self._do(lambda connection: str(connection.execute(_STARTED).scalar_one()))

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        self._uses += 1
        try:
            yield
        finally:
            self._uses -= 1
            if self._uses == 0:
                self._disconnect()

    def _do(self, use: Callable[[Connection], T]) -> T:
        """Return what ``use`` returns; it is called again, on a new connection, where the old one is lost."""

        def on_connection() -> T:
            try:
                if self._connection is None:
                    self._connect()
                assert self._connection is not None
                return use(self._connection)
            except BaseException as error:
                if not isinstance(error, SQLAlchemyError) or why_away(error) is not None:
                    self._disconnect()
                raise

        return self._patience(on_connection) if self._was_connected else on_connection()

    def _connect(self) -> None:
        self._connection = self._engine.connect()
        for name, value in SETTINGS.items():
            self._connection.execute(_SET, {"name": name, "value": value})
        for key, shared in self._kept:
            _keep(self._connection, key, shared)
        self._was_connected = True

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()

    def _give(self, connection: Connection, key: int) -> None:
        if connection is not self._connection:
            raise LockLost
        try:
            owned = connection.execute(_UNLOCK, {"key": key}).scalar_one()
        except SQLAlchemyError as error:
            if why_away(error) is None:
                raise
            self._disconnect()
            raise LockLost from error
        if not owned:
            raise RankfrontError(
                f"storage {self._where} must keep a connection's session, but changed it: give the server's own "
                "address in place of its pooler's, or let the pooler keep sessions"
            )


def _take(connection: Connection, key: int, wait: bool) -> bool:
    if not wait:
        return bool(connection.execute(_TRY_LOCK, {"key": key}).scalar_one())
    try:
        connection.execute(_LOCK, {"key": key})
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        return False
    return True


def _keep(connection: Connection, key: int, shared: int) -> None:
    connection.execute(_LOCK, {"key": key})
    connection.execute(_LOCK_SHARED, {"key": shared})
