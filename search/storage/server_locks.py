"""A study's locks as those of the database's server: an implementation of `locks.Locks`.

A worker whose session is lost takes its liveness lock again with the next session. The other locks are not taken again:
`LockLost` says at their end that other workers may have held them meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from ...objectives.errors import RankfrontError
from .patience import Patience
from .server import LOCK_TIMEOUT_S, Server
from .session import Session

SEATS = 1000
"""How many workers one study may have at once: each sits on one, for a server does not count who shares a lock."""


class ServerLocks:
    """The locks of one study.

    Args:
        url: the database's.
        server: its server.
        study: the study's name: another study of the same database has locks of its own.
        patience: waits for a database that is away.
    """

    def __init__(self, url: str, server: Server, study: str, patience: Patience) -> None:
        self._name = study
        self._session = Session(url, server, patience)
        self._seats = [self._lock("workers", str(seat)) for seat in range(SEATS)]
        self._study: contextlib.ExitStack | None = None

    @contextlib.contextmanager
    def study(self) -> Iterator[None]:
        """Hold the study lock; may be nested."""
        if self._study is not None:
            yield
            return
        try:
            with contextlib.ExitStack() as self._study:
                self._acquire(self._study)
                yield
        finally:
            self._study = None

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Release the study lock inside; after an exception it stays released."""
        assert self._study is not None
        self._study.close()
        yield
        self._acquire(self._study)

    @contextlib.contextmanager
    def test(self) -> Iterator[None]:
        """Hold the test lock."""
        while True:
            with self._session.hold(self._lock("test")) as held:
                if held:
                    yield
                    return

    @contextlib.contextmanager
    def finishing(self, name: str) -> Iterator[None]:
        """Hold the lock of the finished model of that name."""
        with self._session.hold(self._lock("finishing", name), wait=False) as held:
            if not held:
                raise RankfrontError(
                    f"finished/{name} of study {self._name!r} is being finished by another process; wait for it, or "
                    "stop it"
                )
            yield

    @contextlib.contextmanager
    def living(self, worker: str) -> Iterator[None]:
        """Hold a worker's liveness lock."""
        with self._session.keep(self._lock("worker", worker), self._seats):
            yield

    def alive(self, workers: Iterable[str]) -> set[str]:
        """Return which of these workers live."""
        named = {self._lock("worker", worker): worker for worker in workers}
        return {named[lock] for lock in self._session.held(named)} if named else set()

    def epoch(self) -> str:
        """Return when the server started: all locks are lost where it starts anew, or another takes its place.

        A worker that lives takes its liveness lock again when it next uses its session.
        """
        return self._session.started()

    def remove_dead(self) -> int:
        """Return how many workers live; the server has freed the locks of the others."""
        return len(self._session.held(self._seats))

    def _acquire(self, stack: contextlib.ExitStack) -> None:
        if not stack.enter_context(self._session.hold(self._lock("study"))):
            raise RankfrontError(
                f"study {self._name!r} is held by another worker for {LOCK_TIMEOUT_S} s: is it stopped?"
            )

    def _lock(self, *lock: str) -> str:
        """Return the name of one of the study's locks."""
        return "\n".join(("study", self._name, *lock))
