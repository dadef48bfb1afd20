"""A study from task to front: failures, outputs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from rankfront import RankfrontError, Result, Task, load
from rankfront.objectives.dry_run import DryRun
from rankfront.objectives.metrics.registry import measure
from tests.conftest import blobs, go, perceptron


def test_front_table_and_files(task: Task, tmp_path: Path) -> None:
    task = replace(task, test=blobs(200, 3))
    result = go(task, tmp_path / "out", budget="params=60%", trials=8)
    table = pd.read_csv(tmp_path / "out" / "front.csv")
    assert list(table.columns[:9]) == [
        "trial", "accuracy", "params", "flops", "bytes", "accuracy_pct", "params_pct", "flops_pct", "bytes_pct",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(table, result.front, check_dtype=False)
    assert (table["params_pct"] <= 60).all()
    assert (table["params"].diff().dropna() >= 0).all()
    assert table["test_accuracy"].notna().all()
    assert ((table["accuracy_low"] <= table["accuracy"]) & (table["accuracy"] <= table["accuracy_high"])).all()
    assert (tmp_path / "out" / "report.html").stat().st_size > 1e6
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["identity"]["budget"] == "params=60%" and "torch" in manifest["versions"]


def test_the_best_model_is_the_one_that_was_scored(task: Task, tmp_path: Path, dense: nn.Module) -> None:
    result = go(task, tmp_path / "out", budget="params=60%")
    best = result.best_trial()
    x, y = blobs(200, 2)
    for model in (result.best, load(tmp_path / "out", perceptron(seed=5)), load(tmp_path / "out" / "best", dense)):
        assert float((model(x).argmax(1) == y).double().mean()) == best.score
        assert measure(model, x[:1]) == best.metrics
    assert best.score == result.front["accuracy"].max()


def test_every_trial_of_the_front_can_be_exported(task: Task, tmp_path: Path, dense: nn.Module) -> None:
    result = go(task, tmp_path / "out", trials=8)
    for t in result.retained:
        weights, plan = result.export(tmp_path / "small.safetensors", f"params={t.metrics.params / 1000}K")
        assert plan.name == "small.plan.json"
        assert measure(load(weights, dense), torch.zeros(1, 12)).params <= t.metrics.params
    kept = {path.stem for path in (tmp_path / "out" / "models").iterdir()}
    assert kept == {str(t.trial) for t in result.retained}


def test_same_seed_same_front(task: Task, tmp_path: Path) -> None:
    first, second = (go(task, tmp_path / name, seed=3) for name in ("a", "b"))
    pd.testing.assert_frame_equal(first.front, second.front)


def test_an_opened_result_gives_models(task: Task, tmp_path: Path, dense: nn.Module) -> None:
    result = go(task, tmp_path / "out", trials=3)
    opened = Result.open(tmp_path / "out", model=perceptron(seed=5))
    x = blobs(20, 9)[0]
    assert torch.equal(opened.best(x), result.best(x))
    with pytest.raises(RankfrontError, match=r"Result\.open\(folder, model=MyNet\(\)\)"):
        _ = Result.open(tmp_path / "out").best
    with pytest.raises(RankfrontError, match="is kept by no trial"):
        Result.open(tmp_path / "out").model("params=0.1%")


@pytest.fixture
def no_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails in a trial is not seen in the dry run."""
    monkeypatch.setattr(DryRun, "run", lambda *_: [])


def test_a_trial_that_fails_is_stored_and_the_study_goes_on(task: Task, tmp_path: Path, no_dry_run: None) -> None:
    calls = 0

    def loss(outputs: Any, targets: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise ValueError("the user's code\nhas a bug")
        return nn.functional.cross_entropy(outputs, targets)

    result = go(replace(task, loss=loss), tmp_path / "out")
    assert result.trials["state"].tolist().count("fail") == 1
    assert len(result.trials) == 6
    (failed,) = [r for r in result.records if r.state == "fail"]
    assert failed.reason == "ValueError: the user's code\nhas a bug"
    assert "has a bug" not in (tmp_path / "out" / "front.csv").read_text()
    assert "the user&#39;s code" in (tmp_path / "out" / "report.html").read_text()


def test_three_failures_at_the_start_stop_the_study_with_the_first_error(
    task: Task, tmp_path: Path, no_dry_run: None
) -> None:
    calls = 0

    def loss(outputs: Any, targets: Any) -> Any:
        nonlocal calls
        calls += 1
        raise ValueError(f"error {calls}")

    with pytest.raises(
        RankfrontError, match=r"3 trials failed, none succeeded before; the first: ValueError: error [0-9]"
    ):
        go(replace(task, loss=loss), tmp_path / "out")


def test_nan_and_out_of_memory_are_reasons(task: Task, tmp_path: Path, no_dry_run: None) -> None:
    calls = 0

    def loss(outputs: Any, targets: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        value = nn.functional.cross_entropy(outputs, targets)
        return value * float("nan") if 14 <= calls <= 17 else value

    result = go(replace(task, loss=loss), tmp_path / "out")
    assert any("in 2 parts" in r.reason for r in result.records)
    assert any("loss must be finite" in r.reason for r in result.records if r.state == "fail")


def test_a_plan_over_budget_costs_no_training(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(task, tmp_path / "out", budget="params=60%", trials=1)
    study = optuna.load_study(study_name="blobs", storage=f"sqlite:///{tmp_path}/out/study.db")
    study.enqueue_trial({"0.choice": 12, "2.choice": 16, "4.choice": 4})
    monkeypatch.setattr("rankfront.objectives.objective.Objective.__call__", lambda *_, **__: pytest.fail("trained"))
    result = go(task, tmp_path / "out", budget="params=60%", trials=2)
    over = result.records[-1]
    assert over.state == "pruned" and not over.feasible and over.seconds is None
    assert over.reason == "over budget, so not trained"
    assert result.study.trials[-1].constraints["params"] > 0


@pytest.mark.parametrize(
    "objectives", [("accuracy",), ("accuracy", "bytes"), ("accuracy", "params", "flops", "bytes")], ids=str
)
def test_any_subset_of_objectives(task: Task, tmp_path: Path, objectives: tuple[str, ...]) -> None:
    result = go(task, tmp_path / "out", budget="params=60%", objectives=objectives)
    assert len(result.study.directions) == len(objectives)
    assert result.study.metric_names == list(objectives)
    assert len(result.front) >= 1
    # The budget is on params.
    assert set(result.figures) == {*objectives[1:], "params", "ranks", "test", "hypervolume", "phases"}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp", "random"])
def test_optunas_own_samplers(task: Task, tmp_path: Path, sampler: str) -> None:
    result = go(task, tmp_path / "out", budget="params=50%", sampler=sampler, trials=4)
    assert result.trials["feasible"].all()


def test_optunas_own_plots_work_on_a_study(task: Task, tmp_path: Path) -> None:
    study = go(task, tmp_path / "out", trials=8).study
    importances = optuna.importance.get_param_importances(study, target=lambda t: t.values[0])
    assert set(importances) == {"0.choice", "2.choice", "4.choice"}
    optuna.visualization.plot_parallel_coordinate(study, target=lambda t: t.values[0])


def test_the_test_split_is_read_once_for_each_network(task: Task, tmp_path: Path) -> None:
    x, y = blobs(50, 3)
    reads = 0

    def score(outputs: Any, targets: Any) -> float:
        nonlocal reads
        reads += len(targets) == 50
        return float((outputs.argmax(1) == targets).float().mean())

    tested = replace(task, score=score, test=(x, y))
    first = go(tested, tmp_path / "out", trials=3)
    assert reads == len(first.retained) + 1
    go(tested, tmp_path / "out", trials=3)
    assert reads == len(first.retained) + 1


def test_timeout_begins_no_further_trial(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 10_000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    result = go(task, tmp_path / "out", timeout="40s")
    assert 0 < len(result.trials) < 6


def test_timeout_is_about_trials_only(task: Task, tmp_path: Path) -> None:
    assert len(go(task, tmp_path / "out", timeout="1h").trials) == 6


def test_a_study_whose_trials_all_fail_still_has_a_page(task: Task, tmp_path: Path) -> None:
    calls = -1

    def loss(outputs: Any, targets: Any) -> Any:
        nonlocal calls
        calls += 1
        return nn.functional.cross_entropy(outputs, targets) * (float("nan") if calls else 1.0)

    with pytest.raises(RankfrontError, match="no trial succeeded; the last: TrialError: the loss must be finite"):
        go(replace(task, loss=loss), tmp_path / "out", trials=2)
    result = Result.open(tmp_path / "out")
    assert len(result.front) == 0 and result.trials["state"].tolist() == ["fail", "fail"]
    assert "No trial is complete within the budget yet" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(RankfrontError, match="none is complete"):
        result.best_trial()


def test_a_budget_of_exactly_the_smallest_plan(task: Task, tmp_path: Path) -> None:
    from rankfront.objectives.objective import Objective

    smallest = Objective(task, device=torch.device("cpu")).smallest
    result = go(task, tmp_path / "out", budget=f"bytes={smallest.bytes}B", trials=1)
    assert result.best_trial().metrics.bytes == smallest.bytes


def test_a_test_score_that_fails_costs_no_output(task: Task, tmp_path: Path) -> None:
    x, y = blobs(50, 3)

    def score(outputs: Any, targets: Any) -> float:
        if len(targets) == 50:
            raise ValueError("no score for you")
        return float((outputs.argmax(1) == targets).float().mean())

    result = go(replace(task, score=score, test=(x, y)), tmp_path / "out", trials=2)
    assert result.front["test_score"].isna().all()
    assert (tmp_path / "out" / "best" / "model.safetensors").exists()


@pytest.mark.parametrize("error", [ValueError, MemoryError, OSError, torch.OutOfMemoryError])
def test_a_test_score_that_failed_is_taken_by_the_next_run(task: Task, tmp_path: Path, error: type[Exception]) -> None:
    tested, fails = replace(task, test=blobs(50, 3)), iter([True])

    def score(outputs: Any, targets: Any) -> float:
        if len(targets) == 50 and next(fails, False):
            raise error("not now")
        return float((outputs.argmax(1) == targets).float().mean())

    first = go(replace(tested, score=score), tmp_path / "out", trials=1)
    assert first.test_score(None) is None and first.front["test_score"].notna().all()
    again = go(replace(tested, score=score), tmp_path / "out", trials=1)
    assert again.test_score(None) is not None and again.dense.samples["test"] == 50


def test_samples_are_noted_as_they_were_scored(task: Task, tmp_path: Path) -> None:
    def loader(samples: int) -> DataLoader[Any]:
        return DataLoader(TensorDataset(*blobs(samples, 2)), 100, drop_last=True)

    result = go(replace(task, validation=loader(190), test=loader(330)), tmp_path / "out", trials=1)
    assert result.dense.samples == {"validation": 100, "test": 300}
    untested = go(replace(task, validation=loader(190), test=None), tmp_path / "untested", trials=1)
    assert untested.dense.samples == {"validation": 100, "test": 0}


def test_a_trials_time_is_its_whole_time_by_phase(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path / "out", trials=6)
    for record in result.records:
        assert record.seconds == pytest.approx(sum(record.phases.values()))
        assert {"proposing", "factorizing", "refitting", "training", "scoring", "storing"} <= record.phases.keys()
        assert all(seconds >= 0 for seconds in record.phases.values())
    assert "screening" in result.seconds
    assert sum(result.seconds.values()) == pytest.approx(sum(record.seconds or 0 for record in result.records))
