"""A study whose latencies are one machine's, from the command line of another."""

from __future__ import annotations

import pytest

from rankfront import Result
from rankfront.search.results.speeds import speeds_in
from rankfront.search.storage.existing import TRIALS
from tests.search.cli.conftest import Cli


def test_a_worker_on_another_machine_measures_nothing(rankfront: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rankfront("run", "mine.py", "--trials", "2", "--engine", "eager", "--sampler", "knapsack")[0] == 0
    known = speeds_in((first := Result.open("runs/mine")).study)
    first.study.set_user_attr(TRIALS, 4)
    monkeypatch.setattr("rankfront.search.storage.manifest.cpu", lambda: "another CPU")
    code, _, err = rankfront("run", "mine.py")
    assert code == 2 and "--keep-latency goes on with that machine's latencies" in err
    code, out, err = rankfront("worker", "runs/mine")
    assert (code, err) == (0, "") and "the front is not measured here" in out
    result = Result.open("runs/mine")
    assert len(result.records) == 4 and speeds_in(result.study) == known
