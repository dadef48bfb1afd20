"""What every implementation of a study's locks does: files in the study's folder, those of PostgreSQL and of MySQL."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from rankfront import RankfrontError
from rankfront.search.storage.folder import Folder
from rankfront.search.storage.locks import Locks, locks_of

New = Callable[[], Locks]
"""Makes the study's locks as another process would."""


@pytest.fixture
def new(storage: str | None, tmp_path: Path) -> New:
    return lambda: locks_of(Folder(tmp_path), storage, "blobs")


def test_one_at_a_time_holds_the_study_lock(new: New) -> None:
    total = 0

    def add(locks: Locks) -> None:
        nonlocal total
        for _ in range(5):
            with locks.study():
                seen = total
                entered.wait(0.002)  # lets the other threads run; is never set
                total = seen + 1

    entered = threading.Event()
    threads = [threading.Thread(target=add, args=[new()]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total == 15


def test_the_study_lock_may_be_nested(new: New) -> None:
    locks = new()
    with locks.study():
        with locks.study():
            pass
        with locks.released(), new().study():
            pass
    with new().study():
        pass


def test_the_study_lock_stays_released_after_an_exception(new: New) -> None:
    locks = new()
    with contextlib.suppress(ZeroDivisionError), locks.study(), locks.released():
        raise ZeroDivisionError
    with new().study():
        pass
    with locks.study():
        pass


def test_the_study_lock_is_released_after_an_exception(new: New) -> None:
    with contextlib.suppress(ZeroDivisionError), new().study():
        raise ZeroDivisionError
    with new().study():
        pass


def test_a_worker_lives_while_its_lock_is_held(new: New) -> None:
    mine, other = new(), new()
    assert other.alive(["me", "you"]) == set() and other.remove_dead() == 0
    with mine.living("me"), other.living("you"):
        assert mine.alive(["me", "you", "nobody"]) == other.alive(["me", "you", "nobody"]) == {"me", "you"}
        assert mine.remove_dead() == 2
        assert mine.alive(["me", "you"]) == {"me", "you"}
    assert other.alive(["me", "you"]) == set() == other.alive([]) and other.remove_dead() == 0


def test_a_worker_lives_through_the_study_lock(new: New) -> None:
    mine = new()
    with mine.study():
        living = contextlib.ExitStack()
        living.enter_context(mine.living("me"))
    with living:
        assert new().alive(["me"]) == {"me"}
        with mine.study(), mine.test():
            pass
        assert new().alive(["me"]) == {"me"}


def live(folder: Path, storage: str | None, holds: Event) -> None:
    with locks_of(Folder(folder), storage, "blobs").living("me"):
        holds.set()
        threading.Event().wait()


def test_a_liveness_lock_is_free_when_its_process_was_killed(new: New, storage: str | None, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    holds = context.Event()
    process = context.Process(target=live, args=[tmp_path, storage, holds])
    process.start()
    assert holds.wait(120)
    locks = new()
    assert locks.alive(["me"]) == {"me"}
    process.kill()
    process.join()
    while locks.alive(["me"]):
        assert storage is not None, "the system frees a file's lock before the process is gone"
    assert locks.remove_dead() == 0


def test_one_at_a_time_holds_the_test_lock(new: New) -> None:
    order: list[str] = []
    tries = threading.Event()

    def follow() -> None:
        tries.set()
        with new().test():
            order.append("second")

    follower = threading.Thread(target=follow)
    with new().test():
        follower.start()
        assert tries.wait(60)
        with new().study():  # another lock
            order.append("first")
    follower.join()
    assert order == ["first", "second"]


def test_a_model_is_finished_by_one_process_at_a_time(new: New) -> None:
    locks = new()
    with locks.finishing("params=5%"):
        said = "finished/params=5%.* is being finished by another process"
        with pytest.raises(RankfrontError, match=said), new().finishing("params=5%"):
            pass
        with locks.finishing("params=10%"):
            pass
    with new().finishing("params=5%"):
        pass
