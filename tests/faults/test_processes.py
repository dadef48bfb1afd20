"""Processes that die, are stopped, or are many."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import optuna
import pytest
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from rankfront import Result
from rankfront.search.storage.database import open_storage
from rankfront.search.storage.folder import Folder
from rankfront.search.storage.locks import locks_of
from rankfront.search.storage.slots import DIED, SLOT, next_slot
from rankfront.search.study.workers import ATTEMPTS, WORKER, Worker
from tests.faults.processes import KillAtCall, code_of, front_of, start, study, study_that_counts

pytestmark = pytest.mark.slow

TRIALS = 12


def slots_of(out: Path) -> list[int]:
    """Return the slots of all trials that hold one, in order."""
    trials = Result.open(out).study.trials
    return sorted(t.user_attrs[SLOT] for t in trials if not t.user_attrs.get("interrupted"))


def test_killed_at_thirty_moments_it_ends_with_the_front_of_an_undisturbed_run(tmp_path: Path) -> None:
    assert code_of(study, tmp_path / "whole", TRIALS) == 0
    rng = np.random.default_rng(0)
    killed = 0
    for _ in range(200):
        calls = int(np.exp(rng.uniform(np.log(1e3), np.log(2.5e5))))
        code = code_of(study, tmp_path / "killed", TRIALS, KillAtCall(calls))
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
        if killed == 30:
            break
    assert killed == 30
    assert code_of(study, tmp_path / "killed", TRIALS) == 0
    assert slots_of(tmp_path / "killed") == list(range(TRIALS))
    assert front_of(tmp_path / "killed") == front_of(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob("*.part")) and not list((tmp_path / "killed" / "workers").iterdir())


def test_four_workers_do_two_hundred_trials_no_plan_twice(tmp_path: Path) -> None:
    workers = [start(study, tmp_path / "out", 200) for _ in range(4)]
    for worker in workers:
        worker.join(500)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert slots_of(tmp_path / "out") == list(range(200))
    trials = Result.open(tmp_path / "out").study.trials
    assert len({t.user_attrs[WORKER] for t in trials}) > 1
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    wanted = [t for t in trials if t.user_attrs[SLOT] < 190]  # the last ones run the leaders again
    assert len({tuple(sorted(t.params.items())) for t in wanted}) == 190


def test_a_stopped_worker_comes_back_after_its_trial_was_given_away(tmp_path: Path) -> None:
    """A stopped worker keeps its lock; only where locks are lost (some network drives) is its trial taken for dead."""
    out = tmp_path / "out"
    slow = start(study, out, 40)
    while not _has_begun_a_trial(out):
        assert slow.exitcode is None
    assert slow.pid is not None
    while True:
        os.kill(slow.pid, signal.SIGSTOP)
        try:
            with FileLock(out / ".lock", timeout=0), _writing(out):
                break  # stopped while it held the study lock or wrote to the database, it would make the others wait
        except (Timeout, sqlite3.OperationalError):
            os.kill(slow.pid, signal.SIGCONT)
    assert Worker(Folder(out), locks_of(Folder(out), None, "blobs")).free_dead(_study(out)) == 0
    for lock in (out / "workers").glob("*.lock"):
        lock.unlink()
    assert code_of(study, out, 40) == 0
    os.kill(slow.pid, signal.SIGCONT)
    slow.join(300)
    assert slow.exitcode == 0
    assert slots_of(out) == list(range(40))


@pytest.mark.parametrize("died", [1, ATTEMPTS - 1])
def test_a_trial_whose_process_died_is_run_again_a_set_number_of_times(tmp_path: Path, died: int) -> None:
    found = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path / 'study.db'}"))
    worker = Worker(Folder(tmp_path), locks_of(Folder(tmp_path), None, "blobs"))
    (tmp_path / "workers").mkdir()
    for _ in range(died):
        trial = found.ask()
        trial.set_user_attr(WORKER, "gone")
        trial.set_user_attr(SLOT, 0)
        assert worker.free_dead(found) == 1
    assert next_slot(found) == 0 and all(t.user_attrs[DIED] for t in found.trials)
    trial = found.ask()
    trial.set_user_attr(SLOT, 0)
    assert worker.free_dead(found) == 1
    assert next_slot(found) == (1 if died == ATTEMPTS - 1 else 0)


def test_others_hold_the_study_lock_while_a_worker_scores_candidates(tmp_path: Path) -> None:
    worker, other = Worker(Folder(tmp_path), locks_of(Folder(tmp_path), None, "blobs")), FileLock(tmp_path / ".lock")
    with worker.exclusive():
        with pytest.raises(Timeout):
            other.acquire(timeout=0)
        with worker.released(), other.acquire(timeout=0):
            pass
        with pytest.raises(Timeout):
            other.acquire(timeout=0)
    with other.acquire(timeout=0):
        pass


def _study(out: Path) -> optuna.Study:
    return optuna.load_study(study_name="blobs", storage=open_storage(f"sqlite:///{out / 'study.db'}"))


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Hold the database's lock for writing; raise where another process holds it."""
    with closing(sqlite3.connect(out / "study.db", timeout=0, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


def _has_begun_a_trial(out: Path) -> bool:
    """Look without Optuna, which would make tables where there are none yet."""
    try:
        with sqlite3.connect(f"file:{out / 'study.db'}?mode=ro", uri=True) as database:
            return (
                database.execute("SELECT count(*) FROM trial_user_attributes WHERE key = ?", [WORKER]).fetchone()[0] > 0
            )
    except sqlite3.OperationalError:
        return False


def test_no_network_is_scored_on_test_twice(tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    workers = [start(study_that_counts, out, log, 4) for _ in range(3)]
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    noted = log.read_text().splitlines()
    assert len(noted) == len(set(noted)) == 1 + len(Result.open(out).retained)
    assert Result.open(out).front["test_score"].notna().all()


def test_a_worker_that_dies_while_it_scores_on_test_leaves_the_rest_to_others(tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    assert code_of(study_that_counts, out, log, 4, True) == -signal.SIGKILL
    assert len(log.read_text().splitlines()) == 1
    assert code_of(study_that_counts, out, log, 4) == 0
    noted = log.read_text().splitlines()
    assert len(noted) == len(set(noted)) == 1 + len(Result.open(out).retained)


def test_a_worker_that_ends_waits_for_the_test_scores_of_others(tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    assert code_of(study_that_counts, out, log, 4) == 0
    locks = locks_of(Folder(out), None, "blobs")
    with locks.test():
        late = start(study_that_counts, out, log, 4)
        late.join(10)
        assert late.exitcode is None
    late.join(300)
    assert late.exitcode == 0


def test_only_the_locks_of_dead_workers_are_removed(tmp_path: Path) -> None:
    locks = locks_of(Folder(tmp_path), None, "blobs")
    with locks.living("me"):
        (tmp_path / "workers" / "dead.lock").touch()
        assert locks.alive(["dead", "me"]) == {"me"} and (tmp_path / "workers" / "dead.lock").exists()
        assert locks.remove_dead() == 1
        assert [path.name for path in (tmp_path / "workers").iterdir()] == ["me.lock"]
        assert locks.alive(["me"]) == {"me"}
