"""A session that holds locks of a database's server, on a connection that does nothing else.

The server frees the locks when the session ends, whatever ends it. Where it ends while its process lives (the server
was restarted, the network was cut), a new session is begun.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from ...objectives.errors import RankfrontError
from .errors import LockLost, shown_url
from .patience import Patience, why_away
from .server import Server

T = TypeVar("T")


class Session:
    """Holds locks, each known by a name.

    It is connected while any lock is held. The first connection is not waited for; a later one is.

    Args:
        url: the database's.
        server: its server.
        patience: waits for a database that is away.
    """

    def __init__(self, url: str, server: Server, patience: Patience) -> None:
        self._where, self._server, self._patience = shown_url(url), server, patience
        with _options_taken(self._where):
            self._engine = create_engine(
                url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=server.connect_with()
            )
        self._connection: Connection | None = None
        self._was_connected = False
        self._kept: list[Kept] = []
        self._uses = 0

    @contextlib.contextmanager
    def hold(self, lock: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold a lock; yields whether it could be had: see `Server.take`.

        Raises:
            LockLost: at the end, where the lock was not held until then.
        """
        with self._used():
            connection = self._do(
                lambda connection: connection if self._server.take(connection, lock, wait=wait) else None
            )
            if connection is None:
                yield False
                return
            try:
                yield True
            except BaseException:
                with contextlib.suppress(LockLost):
                    self._give(connection, lock)
                raise
            self._give(connection, lock)

    @contextlib.contextmanager
    def keep(self, lock: str, seats: Collection[str]) -> Iterator[None]:
        """Hold a lock of one's own, and one of several seats; a new session takes such again.

        Raises:
            RankfrontError: all seats are taken.
        """
        kept = Kept(lock, seats)

        def begin(connection: Connection) -> None:
            self._take(connection, kept)
            self._kept.append(kept)

        with self._used():
            self._do(begin)
            try:
                yield
            finally:
                self._kept.remove(kept)
                # Where that fails, the session is gone, and its locks are free.
                with contextlib.suppress(SQLAlchemyError):
                    if self._connection is not None:
                        for each in (kept.lock, kept.seat):
                            self._server.give(self._connection, each)

    def held(self, locks: Collection[str]) -> set[str]:
        """Return which of these locks any session holds."""
        with self._used():
            return self._do(lambda connection: self._server.held(connection, locks))

    def started(self) -> str:
        """Return when the server started, so that another server's start differs."""
        with self._used():
            return self._do(self._server.started)

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
        with _options_taken(self._where):
            self._connection = self._engine.connect()
        self._server.begin(self._connection)
        for kept in self._kept:
            self._take(self._connection, kept)
        self._was_connected = True

    def _take(self, connection: Connection, kept: Kept) -> None:
        self._server.take(connection, kept.lock, wait=True)
        held = self._server.held(connection, kept.seats)
        for seat in kept.seats:
            if seat not in held and self._server.take(connection, seat, wait=False):
                kept.seat = seat
                return
        raise RankfrontError(f"a study must have at most {len(kept.seats)} workers at once, but has them: start fewer")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()

    def _give(self, connection: Connection, lock: str) -> None:
        if connection is not self._connection:
            raise LockLost
        try:
            owned = self._server.give(connection, lock)
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


@contextlib.contextmanager
def _options_taken(where: str) -> Iterator[None]:
    """Say that a URL's options are not the driver's; what Python says of them may hold a password."""
    try:
        yield
    except (SQLAlchemyError, RankfrontError):
        raise
    except Exception as error:
        raise RankfrontError(
            f"storage {where} must have options that its driver takes, but for those it has the driver raises "
            f"{type(error).__name__}"
        ) from None


class Kept:
    """A lock that a session holds until its end, and the seat that it has."""

    def __init__(self, lock: str, seats: Collection[str]) -> None:
        self.lock, self.seats, self.seat = lock, seats, ""
