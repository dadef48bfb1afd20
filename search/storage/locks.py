"""The interface of a study's locks, which the processes that work on one study share.

Three kinds of lock:

- the *study lock*: whoever holds it may change the study; held for moments;
- the *test lock*: whoever holds it may score networks on the test split; held for as long as that takes;
- a *liveness lock* for each worker: held for as long as its process lives. The system frees it whatever ends the
  process, so a worker whose lock is free is known to be dead without any clock.

And a lock for each model that is being finished. `locks_of` chooses the implementation.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from .file_locks import FileLocks
from .folder import Folder


class Locks(Protocol):
    """The locks of one study. All raise `RankfrontError` where a lock cannot be had."""

    def study(self) -> AbstractContextManager[None]:
        """Hold the study lock; may be nested."""
        ...

    def released(self) -> AbstractContextManager[None]:
        """Release the study lock inside; to be called while it is held once. It is held again afterwards.

        After an exception inside, it stays released.
        """
        ...

    def test(self) -> AbstractContextManager[None]:
        """Hold the test lock; waits for as long as another worker that lives holds it."""
        ...

    def finishing(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock of the finished model of that name; refused at once where another process holds it."""
        ...

    def living(self, worker: str) -> AbstractContextManager[None]:
        """Hold a worker's liveness lock."""
        ...

    def is_alive(self, worker: str) -> bool:
        """Return whether a process holds that worker's liveness lock."""
        ...

    def workers(self) -> list[str]:
        """Return the workers that have a liveness lock: those alive, and dead ones not removed yet."""
        ...

    def remove_dead(self) -> None:
        """Remove the liveness locks of dead workers; to be called under the study lock."""
        ...


def locks_of(folder: Folder, storage: str | None) -> Locks:
    """Return a study's locks: files in its folder, whatever its database is.

    Args:
        folder: the study's.
        storage: the database's URL where it is not the folder's own; an implementation with a database's advisory locks
            would be chosen by it.
    """
    return FileLocks(folder)
