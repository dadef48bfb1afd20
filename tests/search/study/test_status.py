"""How far a study is: counts, rate and time left, of workers that live."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from rankfront.search.storage.database import database_of, open_storage
from rankfront.search.storage.existing import TRIALS
from rankfront.search.storage.folder import Folder
from rankfront.search.storage.locks import Locks, locks_of
from rankfront.search.storage.slots import INTERRUPTED
from rankfront.search.study.status import Status
from rankfront.search.study.workers import WORKER


@pytest.fixture
def study(storage: str | None, tmp_path: Path) -> Study:
    study = optuna.create_study(study_name="blobs", storage=open_storage(database_of(tmp_path, storage)))
    study.set_user_attr(TRIALS, 20)
    return study


@pytest.fixture
def new(storage: str | None, tmp_path: Path) -> Callable[[], Locks]:
    """Makes the study's locks as another process would."""
    return lambda: locks_of(Folder(tmp_path), storage, "blobs")


def add(study: Study, state: TrialState, **attributes: object) -> None:
    """Add a trial that took ten seconds."""
    trial = create_trial(state=state, value=1.0 if state == TrialState.COMPLETE else None, user_attrs=attributes)
    trial.datetime_start = datetime(2026, 1, 1)
    trial.datetime_complete = trial.datetime_start + timedelta(seconds=10)
    study.add_trial(trial)


def test_a_study_under_way(study: Study, new: Callable[[], Locks], tmp_path: Path) -> None:
    for state in (*[TrialState.COMPLETE] * 5, TrialState.PRUNED, TrialState.FAIL):
        add(study, state)
    add(study, TrialState.FAIL, **{INTERRUPTED: True})
    for worker in ("me", "you", "dead"):
        study.ask().set_user_attr(WORKER, worker)
    with ExitStack() as living:
        for worker in ("me", "you"):
            living.enter_context(new().living(worker))
        status = Status.of(study, Folder(tmp_path), new())
    assert status.as_data() == {
        "study": "blobs",
        "folder": str(tmp_path),
        "workers": 2,
        "trials": {"total": 20, "complete": 5, "stopped": 1, "failed": 1, "running": 2, "lost": 1},
        "trials_per_minute": 12.0,
        "seconds_left": 65.0,
    }
    assert status.lines()[1:] == [
        "workers    2 at work",
        "trials     7 of 20 done: 5 complete, 1 over budget or stopped early, 1 failed, 2 running, "
        "1 lost with their workers, to be run again",
        "rate       12 trials a minute",
        "time left  1.1 minutes",
    ]


def test_a_study_that_has_not_begun_or_has_ended(study: Study, new: Callable[[], Locks], tmp_path: Path) -> None:
    def status() -> Status:
        return Status.of(study, Folder(tmp_path), new())

    with new().living("me"):
        assert (status().rate, status().seconds_left) == (None, None)
    add(study, TrialState.COMPLETE)
    assert (status().rate, status().seconds_left) == (None, None), "nobody is at work"
    study.set_user_attr(TRIALS, 1)
    assert status().seconds_left == 0 and status().lines()[2:] == [
        "trials     1 of 1 done: 1 complete",
        "rate       unknown",
        "time left  none",
    ]
