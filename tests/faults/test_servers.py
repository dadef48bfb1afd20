"""Several workers on a study in a server's database: killed, stopped, cut off, and the server restarted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from rankfront import Result
from rankfront.search.storage.database import open_storage
from rankfront.search.storage.slots import DIED, SLOT, was_interrupted
from tests.conftest import on_all_servers
from tests.faults.processes import code_of, front_of, start, study_in
from tests.mysql import MySQLServer
from tests.postgres import PASSWORD, Server

pytestmark = [pytest.mark.slow, on_all_servers]

TRIALS = 20


def check_whole(storage: str, out: Path, died: int | None = None) -> None:
    """Check that each slot has one complete trial, whose weights are kept where it is on the front.

    Args:
        storage: the database.
        out: the study's folder.
        died: how many further trials belong to workers that were taken for dead; None: any number.
    """
    study = optuna.load_study(study_name="blobs", storage=open_storage(storage))
    held = [t for t in study.trials if not was_interrupted(t)]
    assert died in (None, sum(DIED in t.user_attrs for t in study.trials))
    assert sorted(t.user_attrs[SLOT] for t in held) == list(range(TRIALS))
    assert {t.state for t in held} == {TrialState.COMPLETE}
    result = Result.open(out, storage)
    assert len(result.records) == TRIALS and result.front["test_accuracy"].notna().all()
    assert not any(PASSWORD.encode() in path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert {t.trial for t in result.retained} == {int(p.stem) for p in (out / "models").iterdir()}


def test_one_worker_finds_the_front_of_sqlite(database: str, tmp_path: Path) -> None:
    """The database does not matter to proposals: with one worker they depend on the seed alone."""
    assert code_of(study_in, database, tmp_path / "server", tmp_path / "log", TRIALS) == 0
    sqlite = f"sqlite:///{tmp_path / 'study.db'}"
    assert code_of(study_in, sqlite, tmp_path / "sqlite", tmp_path / "log", TRIALS) == 0
    check_whole(database, tmp_path / "server", died=0)
    assert front_of(tmp_path / "server", database) == front_of(tmp_path / "sqlite", sqlite)


def test_three_workers_of_which_one_is_killed(database: str, tmp_path: Path) -> None:
    out, logs = tmp_path / "out", [tmp_path / f"log{i}" for i in range(3)]
    killed, *others = logs
    workers = [
        start(study_in, database, out, killed, TRIALS, logs, signal.SIGKILL),
        *(start(study_in, database, out, log, TRIALS, logs) for log in others),
    ]
    for worker in workers:
        worker.join(300)
    assert [w.exitcode for w in workers] == [-signal.SIGKILL, 0, 0]
    check_whole(database, out, died=1)
    assert not (out / "workers").exists(), "no lock is a file"


def test_the_server_is_away_for_a_while(server: Server | MySQLServer, database: str, tmp_path: Path) -> None:
    out, logs = tmp_path / "out", [tmp_path / f"log{i}" for i in range(3)]
    workers = [start(study_in, database, out, log, TRIALS, logs) for log in logs]
    while not all(log.exists() and "layers to factorize" in log.read_text() for log in logs):
        assert [w.exitcode for w in workers] == [None] * 3
    server.stop("immediate")
    try:
        while not all("is away, waiting" in log.read_text() for log in logs):
            assert [w.exitcode for w in workers] == [None] * 3
    finally:
        server.start()
    for worker in workers:
        worker.join(300)
    assert [w.exitcode for w in workers] == [0] * 3
    check_whole(database, out)
    assert all(PASSWORD not in log.read_text() and "is back" in log.read_text() for log in logs)


def test_a_worker_that_was_cut_off_drops_the_result_of_a_trial_given_away(
    server: Server | MySQLServer, database: str, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    stopped = start(study_in, database, out, log, TRIALS, (), signal.SIGSTOP)
    assert stopped.pid is not None
    while Path(f"/proc/{stopped.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert stopped.exitcode is None
    server.end_sessions(database)
    assert code_of(study_in, database, out, tmp_path / "other", TRIALS) == 0
    os.kill(stopped.pid, signal.SIGCONT)
    stopped.join(300)
    assert stopped.exitcode == 0
    check_whole(database, out, died=1)
    assert "was given to another worker meanwhile: its result is dropped" in log.read_text()
