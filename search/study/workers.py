"""Several processes on one study: who is alive, and what only one of them does at a time.

A worker holds a liveness lock for as long as its process lives. The system frees it whatever ends the process, even
``kill -9``, and not while the process is merely stopped or slow: so a running trial whose worker's lock is free is
known to be dead, without any clock, and its slot is run again.

Locks in a database are lost with the connection to it. A worker that lost its own meanwhile may have been taken for
dead: the database refuses the result of a trial that has ended, so each slot has one. Where the server itself was
restarted, all workers lost theirs at once: see `Worker.free_dead`.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from ...objectives.io.files import sweep
from ..storage.errors import LockLost
from ..storage.folder import Folder
from ..storage.locks import Locks
from ..storage.slots import DIED, INTERRUPTED, SLOT, next_slot
from ..storage.study_storage import set_user_attrs
from ..storage.trials import REASON

T = TypeVar("T")

WORKER = "worker"
"""The trial's user attribute with the name of the worker that runs it."""

EPOCH = "locks of"
"""The trial's user attribute with the epoch of the locks that its slot was claimed in (see `Locks.epoch`)."""

ATTEMPTS = 10
"""A slot whose processes died so often is left failed."""


class Worker:
    """The present process, as a worker on the study of a folder."""

    def __init__(self, folder: Folder, locks: Locks) -> None:
        self.folder = folder
        self.name = uuid.uuid4().hex
        self.locks = locks
        self._living = contextlib.ExitStack()

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Hold the liveness lock; delete what dead workers left behind, if no other worker is alive.

        Raises:
            RankfrontError: the folder cannot be written.
        """
        with contextlib.ExitStack() as self._living:
            self._live()
            yield

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Be none of the living workers inside; to be called in `alive`. After an exception it stays so."""
        self._living.close()
        yield
        self._live()

    def _live(self) -> None:
        # Under the study lock: a liveness lock that exists but is not held yet would be taken for a dead worker's.
        with contextlib.suppress(LockLost), self.exclusive():
            if not self.locks.remove_dead():
                sweep(self.folder.path)
            self._living.enter_context(self.locks.living(self.name))

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """Hold the study lock: no other worker changes the study.

        Raises:
            RankfrontError: another worker does not let go.
            LockLost: at the end, where the lock was lost meanwhile: what was claimed under it does not hold.
        """
        return self.locks.study()

    def exclusively(self, change: Callable[[], T]) -> T:
        """Return what ``change`` returns, called under the study lock; again where the lock was lost meanwhile."""
        while True:
            with contextlib.suppress(LockLost), self.exclusive():
                return change()

    def released(self) -> contextlib.AbstractContextManager[None]:
        """Release the study lock during something that takes long; to be called in `exclusive`, which goes on then."""
        return self.locks.released()

    def testing(self) -> contextlib.AbstractContextManager[None]:
        """Hold the test lock: no other worker scores on the test split; waits for one that does."""
        return self.locks.test()

    def free_dead(self, study: Study, *, doubtful: bool = False) -> int:
        """Free the slots of trials whose process died; returns how many. To be called in `exclusive`.

        A worker whose lock was lost with all others' may live, and take it again when its trial has ended. So its slot
        is freed only where ``doubtful`` are, too: when no other slot is left, or nobody else is at work.
        """
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        others = {t.user_attrs[WORKER] for t in running if WORKER in t.user_attrs} - {self.name}
        alive = {self.name, *self.locks.alive(others)}
        dead = [trial for trial in running if trial.user_attrs.get(WORKER) not in alive]
        if not doubtful and dead:
            epoch = self.locks.epoch()
            dead = [trial for trial in dead if trial.user_attrs.get(EPOCH, epoch) == epoch]
        return sum(self._mark_dead(study, trial) for trial in dead)

    def is_alone(self) -> bool:
        """Return whether no other worker lives. To be called in `exclusive`, while it is `alive`."""
        return self.locks.remove_dead() <= 1

    def free_slot(self, study: Study, slots: int) -> int | None:
        """Return the first slot that is free, or whose process died; None if there is none. In `exclusive`."""
        for doubtful in (False, True):
            self.free_dead(study, doubtful=doubtful)
            if (slot := next_slot(study)) < slots:
                return slot
        return None

    def claim(self, trial: Trial, slot: int) -> None:
        """Let a new trial hold a slot. To be called in the same `exclusive` as `free_slot`."""
        set_user_attrs(trial, {WORKER: self.name, EPOCH: self.locks.epoch(), SLOT: slot})

    def _mark_dead(self, study: Study, trial: FrozenTrial) -> bool:
        """Free the slot of a trial whose process died; returns False where it has ended meanwhile."""
        died = [t for t in study.get_trials(deepcopy=False) if t.user_attrs.get(DIED)]
        slot = trial.user_attrs.get(SLOT)
        attempts = 1 + sum(t.user_attrs.get(SLOT) == slot for t in died)
        again = slot is None or attempts < ATTEMPTS
        outcome = (INTERRUPTED, True) if again else (REASON, f"its process died, {attempts} times in a row")
        try:
            for name, value in ((DIED, True), outcome):
                study._storage.set_trial_user_attr(trial._trial_id, name, value)
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return False
        self.folder.drop_weights([trial.number])
        return True
