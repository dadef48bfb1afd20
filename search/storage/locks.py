"""The interface of a study's locks, which the processes that work on one study share.

Three kinds of lock:

- the *study lock*: whoever holds it may change the study; held for moments;
- the *test lock*: whoever holds it may score networks on the test split; held for as long as that takes;
- a *liveness lock* for each worker: held for as long as its process lives. The system frees it whatever ends the
  process, so a worker whose lock is free is known to be dead without any clock.

And a lock for each model that is being finished. `locks_of` chooses the implementation. Where locks belong to a
connection, they can be lost while their worker lives; whoever claims something under a lock learns that at its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from .file_locks import FileLocks
from .folder import Folder
from .patience import Patience
from .server import server_of


class Locks(Protocol):
    """The locks of one study.

    All raise `RankfrontError` where a lock cannot be had; `study`, `released` (when it begins), `test` and `finishing`
    raise `LockLost` at their end where the lock was not held until then.
    """

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

    def alive(self, workers: Iterable[str]) -> set[str]:
        """Return which of these workers live: a process holds the liveness lock."""
        ...

    def epoch(self) -> str:
        """Return what all the locks were taken in; when it changes, every lock was lost at once, whoever lives."""
        ...

    def remove_dead(self) -> int:
        """Remove what is left of dead workers' liveness locks; return how many workers live.

        To be called under the study lock.
        """
        ...


def locks_of(folder: Folder, storage: str | None, study: str, patience: Patience | None = None) -> Locks:
    """Return a study's locks: where the database has a server, that one's, else files in the study's folder.

    Args:
        folder: the study's.
        storage: the database's URL where it is not the folder's own.
        study: the study's name.
        patience: waits for a database that is away; None waits without a word.
    """
    if storage is not None and (server := server_of(storage)) is not None:
        from .server_locks import ServerLocks

        return ServerLocks(storage, server, study, patience or Patience(storage))
    return FileLocks(folder)
