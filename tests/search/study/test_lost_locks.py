"""A study goes on whenever the connection that holds the study lock is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rankfront import run
from rankfront.search.storage.errors import LockLost
from rankfront.search.study.workers import Worker
from tests.faults.processes import small_task

TRIALS = 1


def test_each_change_under_the_lock_is_made_again_or_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exclusive = Worker.exclusive
    held, lost = 0, -1

    @contextlib.contextmanager
    def loses(self: Worker) -> Iterator[None]:
        nonlocal held
        held += 1
        number = held
        with exclusive(self):
            yield
        if number == lost:
            raise LockLost

    monkeypatch.setattr(Worker, "exclusive", loses)
    run(small_task(), out=tmp_path / "whole", trials=TRIALS, device="cpu", progress=False)
    uses = held
    assert uses > 3
    for lost in range(1, uses + 1):
        held = 0
        result = run(small_task(), out=tmp_path / str(lost), trials=TRIALS, device="cpu", progress=False)
        assert len(result.records) == TRIALS, f"use {lost} of {uses}"
