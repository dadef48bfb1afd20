"""A study's locks as files in its folder: an implementation of `locks.Locks`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout

from ...objectives.errors import RankfrontError
from ...objectives.io.files import disk_error
from .folder import Folder

STUDY_TIMEOUT_S = 600
"""How long a worker waits for the study lock, which is held for moments only."""


class FileLocks:
    """The locks of the study in a folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._study = FileLock(folder.path / ".lock")

    @contextlib.contextmanager
    def study(self) -> Iterator[None]:
        """Hold the study lock; may be nested."""
        with self._acquired():
            yield

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Release the study lock inside; after an exception it stays released."""
        self._study.release()
        yield
        self._acquired()

    @contextlib.contextmanager
    def test(self) -> Iterator[None]:
        """Hold the test lock."""
        with self._held(self._folder.path / ".test.lock", -1):
            yield

    @contextlib.contextmanager
    def finishing(self, name: str) -> Iterator[None]:
        """Hold the lock of the finished model of that name."""
        path = self._folder.finished / f".{name}.lock"
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._held(path, 0):
                yield
        except Timeout:
            raise RankfrontError(
                f"{self._folder.finished / name} is being finished by another process; wait for it, or stop it"
            ) from None

    @contextlib.contextmanager
    def living(self, worker: str) -> Iterator[None]:
        """Hold a worker's liveness lock."""
        path = self._liveness(worker)
        with _writing(path):
            path.parent.mkdir(exist_ok=True)
        with self._held(path, 0):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def alive(self, workers: Iterable[str]) -> set[str]:
        """Return which of these workers' liveness locks a process holds."""
        return {worker for worker in workers if self._is_alive(worker)}

    def epoch(self) -> str:
        """Return nothing: the system frees the locks of one process at a time."""
        return ""

    def remove_dead(self) -> int:
        """Remove the liveness locks that no process holds; return how many are held."""
        living = 0
        for path in self._folder.workers.glob("*.lock"):
            try:
                with self._held(path, 0):
                    path.unlink(missing_ok=True)
            except Timeout:
                living += 1
        return living

    def _is_alive(self, worker: str) -> bool:
        path = self._liveness(worker)
        if not path.exists():
            return False
        try:
            with self._held(path, 0):
                return False
        except Timeout:
            return True

    def _liveness(self, worker: str) -> Path:
        return self._folder.workers / f"{worker}.lock"

    def _acquired(self) -> AcquireReturnProxy:
        try:
            with _writing(self._folder.path):
                return self._study.acquire(timeout=STUDY_TIMEOUT_S)
        except Timeout:
            raise RankfrontError(
                f"{self._folder.path} is held by another worker for {STUDY_TIMEOUT_S} s: is it stopped?"
            ) from None

    @staticmethod
    @contextlib.contextmanager
    def _held(path: Path, timeout_s: float) -> Iterator[None]:
        """Hold a lock file; raises `Timeout` where another process does not let go."""
        lock = FileLock(path)
        with _writing(path):
            lock.acquire(timeout=timeout_s)
        try:
            yield
        finally:
            lock.release()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say in one line why a lock's file cannot be written."""
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise disk_error(path, error) from error
