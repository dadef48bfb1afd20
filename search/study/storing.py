"""How a trial ends in the database: with its result, or interrupted; also where that is away in between."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import Trial, TrialState

from ..storage.patience import DatabaseAway
from ..storage.slots import DIED, INTERRUPTED, was_interrupted
from ..storage.study_storage import set_user_attrs
from .workers import Worker


def store_result(
    worker: Worker,
    study: Study,
    trial: Trial,
    found: Mapping[str, Any],
    state: TrialState,
    values: Sequence[float] | None,
) -> None:
    """Store a trial's result, all of it; one worker at a time.

    Raises:
        UpdateFinishedTrialError: it was taken for dead meanwhile, and its slot given away.
    """

    def store() -> None:
        # It has ended where it was taken for dead, or where it was stored but the database's answer was lost.
        with contextlib.suppress(UpdateFinishedTrialError):
            set_user_attrs(trial, found)
            study.tell(trial, values, state=state, skip_if_finished=True)

    worker.exclusively(store)
    stored = study._storage.get_trial(trial._trial_id)
    if stored.state != state or was_interrupted(stored) or (state == TrialState.FAIL and DIED in stored.user_attrs):
        raise UpdateFinishedTrialError


def interrupt(worker: Worker, study: Study, trial: Trial) -> None:
    """Mark a trial as interrupted, unless it is finished.

    Where the database does not answer, other workers will free the slot when this process has ended.
    """

    def end() -> None:
        if not study._storage.get_trial(trial._trial_id).state.is_finished():
            trial.set_user_attr(INTERRUPTED, True)
            study.tell(trial, state=TrialState.FAIL)
            worker.folder.drop_weights([trial.number])

    with contextlib.suppress(DatabaseAway, UpdateFinishedTrialError):
        worker.exclusively(end)
