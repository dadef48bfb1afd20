"""Whose slots are run again, and when: after a worker's death, and after the database's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import Trial, TrialState

from rankfront.search.storage.database import open_storage
from rankfront.search.storage.folder import Folder
from rankfront.search.storage.locks import locks_of
from rankfront.search.study.storing import store_result
from rankfront.search.study.workers import Worker
from tests.conftest import on_all_servers
from tests.mysql import MySQLServer
from tests.postgres import Server

pytestmark = on_all_servers


@pytest.fixture
def study(database: str) -> Study:
    return optuna.create_study(storage=open_storage(database))


@pytest.fixture
def workers(database: str, tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    """Two that live, on a server."""
    made = [Worker(Folder(tmp_path), locks_of(Folder(tmp_path), database, "blobs")) for _ in range(2)]
    with ExitStack() as living:
        for worker in made:
            living.enter_context(worker.alive())
        yield made[0], made[1]


def claimed(worker: Worker, study: Study, slots: int = 9) -> tuple[int, Trial]:
    with worker.exclusive():
        slot = worker.free_slot(study, slots)
        assert slot is not None
        trial = study.ask()
        worker.claim(trial, slot)
        return slot, trial


def finish(worker: Worker, study: Study, trial: Trial) -> None:
    store_result(worker, study, trial, {}, TrialState.COMPLETE, [1.0])


def test_after_a_restart_of_the_server_no_trial_is_run_again_while_others_are_left(
    workers: tuple[Worker, Worker], study: Study, server: Server | MySQLServer
) -> None:
    first, second = workers
    _, mine = claimed(first, study)
    _, others = claimed(second, study)
    server.stop("immediate")
    server.start()
    finish(first, study, mine)
    assert claimed(first, study)[0] == 2, "the second worker's lock is free, but it lives"
    finish(second, study, others)
    assert claimed(second, study)[0] == 3
    with first.exclusive():
        assert not first.is_alone()


def test_a_worker_that_does_not_come_back_after_a_restart_is_run_again_last(
    workers: tuple[Worker, Worker], study: Study, server: Server | MySQLServer
) -> None:
    first, second = workers
    _, mine = claimed(first, study)
    _, others = claimed(second, study)
    server.stop("fast")
    server.start()
    finish(first, study, mine)
    with first.exclusive():
        assert first.is_alone()
    assert claimed(first, study, slots=2)[0] == 1, "no other slot is left"
    with pytest.raises(UpdateFinishedTrialError):
        finish(second, study, others)


def test_a_worker_whose_session_ended_by_itself_is_dead(
    workers: tuple[Worker, Worker], study: Study, server: Server | MySQLServer, database: str
) -> None:
    first, second = workers
    claimed(first, study)
    claimed(second, study)
    server.end_sessions(database)
    assert claimed(first, study)[0] == 1
