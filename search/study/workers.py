"""Several processes on one study: who is alive, and what only one of them does at a time.

A worker holds a liveness lock for as long as its process lives. The system frees it whatever ends the process, even
``kill -9``, and not while the process is merely stopped or slow: so a running trial whose worker's lock is free is
known to be dead, without any clock, and its slot is run again.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ...objectives.io.files import sweep
from ..storage.folder import Folder
from ..storage.locks import Locks
from ..storage.slots import DIED, INTERRUPTED, SLOT
from ..storage.trials import REASON

WORKER = "worker"
"""The trial's user attribute with the name of the worker that runs it."""

ATTEMPTS = 10
"""A slot whose processes died so often is left failed."""


class Worker:
    """The present process, as a worker on the study of a folder."""

    def __init__(self, folder: Folder, locks: Locks) -> None:
        self.folder = folder
        self.name = uuid.uuid4().hex
        self.locks = locks

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Hold the liveness lock; delete what dead workers left behind, if no other worker is alive.

        Raises:
            RankfrontError: the folder cannot be written.
        """
        with contextlib.ExitStack() as held:
            # Under the study lock: a liveness lock that exists but is not held yet would be taken for a dead worker's.
            with self.exclusive():
                self.locks.remove_dead()
                if not self.locks.workers():
                    sweep(self.folder.path)
                held.enter_context(self.locks.living(self.name))
            yield

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """Hold the study lock: no other worker changes the study; `RankfrontError` where one does not let go."""
        return self.locks.study()

    def released(self) -> contextlib.AbstractContextManager[None]:
        """Release the study lock during something that takes long; to be called in `exclusive`, which goes on then."""
        return self.locks.released()

    def testing(self) -> contextlib.AbstractContextManager[None]:
        """Hold the test lock: no other worker scores on the test split; waits for one that does."""
        return self.locks.test()

    def free_dead(self, study: Study) -> int:
        """Free the slots of trials whose process died; returns how many. To be called in `exclusive`."""
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        dead = [trial for trial in running if not self._is_alive(trial.user_attrs.get(WORKER))]
        for trial in dead:
            self._mark_dead(study, trial)
        return len(dead)

    def _mark_dead(self, study: Study, trial: FrozenTrial) -> None:
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
        return name == self.name or (name is not None and self.locks.is_alive(name))
