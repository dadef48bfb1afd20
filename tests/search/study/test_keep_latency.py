"""A study whose latencies are those of another machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rankfront import RankfrontError, Result, Task, speed
from rankfront.objectives.metrics.latency_table import LatencyTable
from rankfront.search.results.measured import speeds_of
from rankfront.search.storage.latency import keep_latency_table
from rankfront.search.storage.manifest import cpu
from tests.conftest import go
from tests.fake_engine import FakeEngine

BUDGET = "latency@fake=85%"


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_another_machine_is_named(
    engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(small, tmp_path / "out", budget=BUDGET, trials=1)
    monkeypatch.setattr("rankfront.search.storage.manifest.cpu", lambda: "another CPU")
    with pytest.raises(
        RankfrontError, match=r"its engine machine is '.*', not 'another CPU'; keep_latency=True goes on"
    ):
        go(small, tmp_path / "out", trials=2)


@pytest.mark.parametrize("installed_there", [True, False])
def test_another_machine_may_keep_the_latencies(
    engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed_there: bool
) -> None:
    def missing() -> None:
        raise RankfrontError("not installed")

    out, home = tmp_path / "out", cpu()
    first = go(small, out, budget=BUDGET, trials=2)
    known, runs = speeds_of(first), engine.runs
    with monkeypatch.context() as there:
        there.setattr("rankfront.search.storage.manifest.cpu", lambda: "another CPU")
        if not installed_there:
            there.setattr(engine, "check", missing)
        result = go(small, out, trials=6, keep_latency=True)
        assert len(result.records) == 6 and engine.runs == runs
        assert result.dense.metrics["latency"] == first.dense.metrics["latency"]
        assert speeds_of(result) == known and set(known) < {trial.trial for trial in result.on_front}
        if installed_there:
            speed(small, out, engine="fake", progress=False)
            assert speeds_of(Result.open(out)) == known, "that was another machine's"
    log = (out / "run.log").read_text()
    assert f"the front is not measured here, as the study's latencies are those of {home}" in log
    result = go(small, out, trials=6)
    assert {trial.trial for trial in result.on_front} <= speeds_of(result).keys()


def test_what_the_latencies_are_of_need_not_be_there(engine: FakeEngine, small: Task, tmp_path: Path) -> None:
    go(small, tmp_path / "out", budget=BUDGET, trials=1)
    engine.device = "cuda"  # a study of a machine with a GPU, on one without
    runs = engine.runs
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert len(go(small, tmp_path / "out", trials=2, keep_latency=True).records) == 2 and engine.runs == runs


@pytest.mark.parametrize("other", ["engine", "weights"])
def test_where_more_than_the_machine_differs_keeping_latencies_is_no_way(
    other: str, engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(small, tmp_path / "out", budget=BUDGET, trials=1)
    monkeypatch.setattr("rankfront.search.storage.manifest.cpu", lambda: "another CPU")
    more = {"engine": "eager"} if other == "engine" else {}
    if other == "weights":
        with torch.no_grad():
            next(small.model.parameters()).add_(1)
    with pytest.raises(RankfrontError, match=f"{other}.*give another out=") as refused:
        go(small, tmp_path / "out", trials=2, **more)
    assert "keep_latency" not in str(refused.value)


def test_a_study_must_be_there_to_keep_its_latencies(engine: FakeEngine, small: Task, tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match="keep_latency needs a study whose latencies were measured"):
        go(small, tmp_path / "out", budget=BUDGET, trials=1, keep_latency=True)
    assert not (tmp_path / "out").exists()


def test_a_worker_waits_while_another_machine_measures(
    engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    table: list[LatencyTable] = []
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(
            "rankfront.search.study.latency.keep_latency_table", lambda _, found: table.append(found) or stop()
        )
        go(small, out, budget=BUDGET, trials=1)
    monkeypatch.setattr("rankfront.search.storage.manifest.cpu", lambda: "another CPU")
    monkeypatch.setattr("rankfront.search.study.workers.Worker.is_alone", lambda _: False)
    study = Result.open(out).study
    monkeypatch.setattr("rankfront.search.study.latency.time.sleep", lambda _: keep_latency_table(study, table[0]))
    assert len(go(small, out, trials=1, keep_latency=True).records) == 1


def test_there_must_be_latencies_to_keep(
    engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("rankfront.search.study.latency.keep_latency_table", stop)
        go(small, tmp_path / "out", budget=BUDGET, trials=1)
    monkeypatch.setattr("rankfront.search.storage.manifest.cpu", lambda: "another CPU")
    with pytest.raises(RankfrontError, match=r"latencies are those of .*, which has not measured them yet"):
        go(small, tmp_path / "out", trials=1, keep_latency=True)


def test_on_the_machine_itself_keep_latency_changes_nothing(engine: FakeEngine, small: Task, tmp_path: Path) -> None:
    known = speeds_of(go(small, tmp_path / "out", budget=BUDGET, trials=1))
    result = go(small, tmp_path / "out", trials=6, keep_latency=True)
    assert len(speeds_of(result)) > len(known)
    assert {trial.trial for trial in result.on_front} <= speeds_of(result).keys()
