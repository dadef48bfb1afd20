"""Several processes on one study: who is alive, and what only one of them does at a time.

A worker holds a file lock of its own for as long as it lives. The system frees it whatever ends the process, even
``kill -9``, and not while the process is merely stopped or slow: so a running trial whose worker's lock is free is
known to be dead, without any clock, and its slot is run again.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

from filelock import AcquireReturnProxy, FileLock, Timeout
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ...objectives.errors import RankfrontError
from ...objectives.io.files import disk_error, sweep
from ..storage.folder import Folder
from ..storage.slots import DIED, INTERRUPTED, SLOT
from ..storage.trials import REASON

WORKER = "worker"
"""The trial's user attribute with the name of the worker that runs it."""

PATIENCE_S = 600
"""How long a worker waits for its turn."""

ATTEMPTS = 10
"""A slot whose processes died so often is left failed."""


class Worker:
    """The process that this is, at work on the study of a folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.name = uuid.uuid4().hex
        self._turn = FileLock(folder.path / ".lock")

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Be known as alive; sweep up what dead workers left, if this one is alone.

        Raises:
            RankfrontError: the folder cannot be written.
        """
        life = self._life(self.name)
        try:
            self.folder.workers.mkdir(exist_ok=True)
            with self.alone():  # a lock that is there but not held yet would be taken for a dead one's
                others = [path.stem for path in self.folder.workers.glob("*.lock")]
                if not any([self._is_alive(name) for name in others]):
                    sweep(self.folder.path)
                life.acquire(timeout=0)
        except OSError as error:
            raise disk_error(self.folder.workers, error) from error
        try:
            yield
        finally:
            life.release()
            (self.folder.workers / f"{self.name}.lock").unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Have the turn: no other worker has it meanwhile; raises `RankfrontError` where one does not let go."""
        with self._take():
            yield

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let others have the turn during something that takes long; to be called in `alone`, which goes on then."""
        self._turn.release()
        yield  # what is raised here ends the turn in any case
        self._take()

    def free_dead(self, study: Study) -> int:
        """Free the slots of trials whose process died; returns how many. To be called in `alone`."""
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        dead = [trial for trial in running if not self._is_alive(trial.user_attrs.get(WORKER))]
        for trial in dead:
            self._bury(study, trial)
        return len(dead)

    def _bury(self, study: Study, trial: FrozenTrial) -> None:
        died = [t for t in study.get_trials(deepcopy=False) if t.user_attrs.get(DIED)]
        slot = trial.user_attrs.get(SLOT)
        attempts = 1 + sum(t.user_attrs.get(SLOT) == slot for t in died)
        again = slot is None or attempts < ATTEMPTS
        outcome = (INTERRUPTED, True) if again else (REASON, f"its process died, {attempts} times in a row")
        for name, value in ((DIED, True), outcome):
            study._storage.set_trial_user_attr(trial._trial_id, name, value)
        study.tell(trial.number, state=TrialState.FAIL)
        self.folder.drop_weights([trial.number])

    def _is_alive(self, name: str | None) -> bool:
        """Return whether a worker of that name holds its lock; what is left of a dead one's is taken away."""
        if name == self.name:
            return True
        path = self.folder.workers / f"{name}.lock"
        if name is None or not path.exists():
            return False
        lock = self._life(name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        path.unlink(missing_ok=True)
        return False

    def _take(self) -> AcquireReturnProxy:
        try:
            return self._turn.acquire(timeout=PATIENCE_S)
        except Timeout:
            raise RankfrontError(
                f"{self.folder.path} is held by another worker for {PATIENCE_S} s: is it stopped?"
            ) from None

    def _life(self, name: str) -> FileLock:
        return FileLock(self.folder.workers / f"{name}.lock")
