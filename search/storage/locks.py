"""The locks that processes at work on one study share: what there is, apart from how it is done.

Three kinds of lock:

- the *study lock*: whoever holds it may change the study; held for moments;
- the *test lock*: whoever holds it may score networks on the test split; held for as long as that takes;
- a *liveness lock* for each worker: held for as long as its process lives, and freed by the system whatever ends it,
  so that a worker whose lock is free is known to be dead without any clock.

And one for each model that is being finished. `file_locks` does it with files in the study's folder; a database's
advisory locks would be another implementation.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Locks(Protocol):
    """The locks of one study. All raise `RankfrontError` where a lock cannot be had."""

    def study(self) -> AbstractContextManager[None]:
        """Hold the study lock; may be nested."""
        ...

    def released(self) -> AbstractContextManager[None]:
        """Let others have the study lock during something that takes long; to be called while it is held once."""
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
        """Return whether a process holds that worker's liveness lock; what is left of a dead one's is removed."""
        ...

    def workers(self) -> list[str]:
        """Return the workers that have a liveness lock, held or left behind."""
        ...
