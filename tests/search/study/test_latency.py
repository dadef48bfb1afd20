"""Latency: predicted from a table, measured on whole networks; what is shipped keeps the budget as measured."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from rankfront import Plan, RankfrontError, Result, Task, verify
from rankfront.objectives.engines.layer_times import LayerMeter
from rankfront.objectives.engines.registry import ENGINES, QUICK
from rankfront.objectives.engines.setting import EngineSetting
from rankfront.objectives.kinds.plain_form import has_identity_blocks
from rankfront.objectives.metrics.latency_table import PredictedLatency
from rankfront.objectives.metrics.params import count_params
from rankfront.search.cli.main import main
from rankfront.search.report.progress import Progress
from rankfront.search.results.headline import headline_of
from rankfront.search.results.measured import speeds_of
from rankfront.search.space.budget import Budget
from rankfront.search.storage.manifest import cpu
from rankfront.search.study import run as module
from rankfront.search.study.latency import at_budget, latency_table
from tests.conftest import go
from tests.fake_engine import FakeEngine, by_flops, installed
from tests.objectives.preparing import prepared

BUDGET = "latency@fake=85%"


def slowed(engine: FakeEngine, factor: float, which: Callable[[nn.Module], bool]) -> None:
    engine.seconds = lambda model, inputs: by_flops(model, inputs) * (factor if which(model) else 1.0)


def test_a_budget_is_kept_as_predicted_and_as_measured(engine: FakeEngine, small: Task, tmp_path: Path) -> None:
    result = go(small, tmp_path / "out", budget=BUDGET, trials=6)
    dense = result.dense.metrics["latency"]
    assert dense == pytest.approx(1e9 * by_flops(small.model, small.train.example()), abs=1)
    assert result.scored and all(t.metrics["latency"] <= 0.85 * dense for t in result.scored)
    speeds = speeds_of(result)
    assert {t.trial for t in result.on_front} | {result.best_trial().trial} <= speeds.keys()
    for trial in result.on_front:
        exact = 1e9 * by_flops(result.load(trial, small.model), small.train.example())
        assert 1e6 * speeds[trial.trial].ms == pytest.approx(exact, abs=1e-3)
        assert trial.metrics["latency"] == pytest.approx(exact, abs=2 * len(trial.plan))
    assert 1 / speeds[result.best_trial().trial].speedup <= 0.85


def test_everything_says_predicted_and_measured(
    engine: FakeEngine, small: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    result = go(small, out, budget=BUDGET, trials=4)
    best = speeds_of(result)[result.best_trial().trial]
    headline = headline_of(result)
    assert headline is not None and f"{best.speedup:.2g}× faster in Fake" in headline.sentence
    assert "latency" not in headline.sentence
    assert "predicted latency" in str(result) and "measured latency" in str(result)
    page = (out / "report.html").read_text()
    assert "Latency: Fake, batches of 1" in page and "<th>measured latency</th>" in page
    log = (out / "run.log").read_text()
    assert "latency is that in Fake, batches of 1" in log and "predicted latency" in log
    with pytest.raises(SystemExit) as ended:
        main(["front", str(out), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and (told["engine"], told["engine batch size"]) == ("fake", 1)
    row = next(row for row in told["front"] if row["trial"] == best.trial)
    assert row["measured_latency"] == pytest.approx(1e6 * best.ms)
    assert row["measured_latency_pct"] == pytest.approx(100 / best.speedup)
    assert row["latency"] == pytest.approx(row["measured_latency"], abs=2 * len(row["plan"]))
    manifest = json.loads((out / "manifest.json").read_text())["identity"]
    assert [manifest[f"engine{what}"] for what in ("", " batch size", " dtype")] == ["fake", 1, "float32"]
    assert manifest["engine machine"] and manifest["engine threads"] >= 1
    assert all(check.holds for check in verify(small, out, progress=False))


def test_where_the_best_is_measured_over_the_budget_the_next_within_it_is(
    engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = go(small, tmp_path / "first", budget=BUDGET, trials=6)
    slow, measure = count_params(first.best), module.measure_front

    def slowly(*given: Any) -> None:
        slowed(engine, 1.5, lambda model: count_params(model) == slow)
        measure(*given)

    monkeypatch.setattr(module, "measure_front", slowly)
    again = go(small, tmp_path / "again", budget=BUDGET, trials=6)
    assert [t.plan for t in again.scored] == [t.plan for t in first.scored]
    chosen, refused = again.best_trial(), first.best_trial()
    assert chosen.plan != refused.plan and 1 / speeds_of(again)[chosen.trial].speedup <= 0.85
    log = (tmp_path / "again" / "run.log").read_text()
    assert f"trial {refused.trial} is not the best: its latency is" in log and "as measured" in log
    plan = json.loads((tmp_path / "again" / "best" / "plan.json").read_text())
    assert plan["trial"] == chosen.trial


def test_where_none_is_measured_within_the_budget_none_is_shipped(
    engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = module.measure_front

    def slowly(result: Result, *others: Any) -> None:
        dense = count_params(small.model)
        slowed(engine, 3.0, lambda model: count_params(model) != dense)
        measure(result, *others)

    monkeypatch.setattr(module, "measure_front", slowly)
    result = go(small, tmp_path / "out", budget=BUDGET, trials=4)
    assert result.scored and not result.folder.best.exists()
    with pytest.raises(RankfrontError, match=r"latency=85% is kept by no trial on the front: the smallest"):
        result.best_trial()
    assert headline_of(result) is None
    assert "is kept by no trial" in (tmp_path / "out" / "run.log").read_text()
    assert all(check.holds for check in verify(small, tmp_path / "out", progress=False))


def test_what_time_has_stopped_is_measured_and_what_the_user_has_says_that_it_is_not(
    engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    monkeypatch.setattr("rankfront.search.study.loop.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    result = go(small, tmp_path / "timeout", budget=BUDGET, trials=200, timeout="3s")
    assert 0 < len(result.records) < 5
    assert result.best_trial().trial in speeds_of(result)
    headline = headline_of(result)
    assert headline is not None and "predicted" not in headline.measured

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure_front", stop)
    with pytest.raises(KeyboardInterrupt):
        go(small, tmp_path / "stopped", budget=BUDGET, trials=2)
    unmeasured = Result.open(tmp_path / "stopped", model=small.model)
    headline = headline_of(unmeasured)
    assert headline is not None and "Its latency is predicted" in headline.measured
    assert "Its latency is predicted" in (tmp_path / "stopped" / "report.html").read_text()
    monkeypatch.undo()
    installed(monkeypatch, engine)
    assert "predicted" not in str(headline_of(go(small, tmp_path / "stopped")))


@pytest.mark.parametrize(
    ("budget", "share", "scale"),
    [(BUDGET, 0.8, 0.8), (BUDGET, 1.0, 1.0), (BUDGET, 1.3, 1.0), (BUDGET, 0.1, 0.5), ("params=50%", 0.8, 1.0)],
)
def test_what_plans_at_the_budget_save_less_than_predicted_all_are_taken_to(
    engine: FakeEngine, small: Task, budget: str, share: float, scale: float
) -> None:
    objective = prepared(small)
    setting = EngineSetting("fake", 1, 1)
    table = latency_table(objective, setting, Progress(shown=False))
    predicted = PredictedLatency(table, objective.by_name)

    def added(plan: Plan) -> float:
        return share * (predicted.of(plan) - table.start) / table.start

    found = at_budget(table, objective, Budget.of(budget), added)
    assert found.scale == pytest.approx(scale, abs=0.02)
    assert replace(found, scale=1.0) == table


@pytest.mark.parametrize(
    ("budget", "slow", "proposed"),
    [
        (BUDGET, 3.0, {"svd", "dense"}),
        (BUDGET, 1.0, {"svd", "svd-identity", "dense"}),
        ([BUDGET, "params=85%"], 3.0, {"svd", "svd-identity", "dense"}),
    ],
)
def test_identity_blocks_slower_than_plain_factors_are_not_proposed_where_time_alone_is_bounded(
    engine: FakeEngine, task: Task, tmp_path: Path, budget: str | list[str], slow: float, proposed: set[str]
) -> None:
    slowed(engine, slow, has_identity_blocks)
    both = replace(task, kinds=("svd", "svd-identity"))
    go(both, tmp_path / "out", budget=budget, trials=1)
    go(both, tmp_path / "out", budget=budget, trials=2)  # which reads what was measured
    layers = json.loads((tmp_path / "out" / "layers.json").read_text())["layers"]
    assert {option["kind"] for layer in layers for option in layer["options"]} == proposed
    said = "not proposed: svd-identity, as in Fake" in (tmp_path / "out" / "run.log").read_text()
    assert said == ("svd-identity" not in proposed)


def test_kinds_without_the_plain_one_stay(engine: FakeEngine, task: Task, tmp_path: Path) -> None:
    slowed(engine, 3.0, has_identity_blocks)
    objective = prepared(replace(task, kinds=("svd-identity",)))
    before = dict(objective.decompositions.options)
    objective.decompositions.leave_out(["svd-identity"])
    assert objective.decompositions.options == before


def test_a_study_goes_on_with_its_own_table_and_measures_what_is_new(
    engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    table = LayerMeter.table
    monkeypatch.setattr(LayerMeter, "table", lambda self, *rest: made.append(1) or table(self, *rest))
    first = go(small, tmp_path / "out", budget=BUDGET, trials=3)
    known = {trial: speed.ms for trial, speed in speeds_of(first).items()}
    slowed(engine, 1.01, lambda model: True)
    again = go(small, tmp_path / "out", trials=6)
    assert made == [1] and again.dense.metrics == first.dense.metrics
    assert {trial: speed.ms for trial, speed in speeds_of(again).items()}.items() >= known.items()


def test_an_engine_alone_gives_latencies_without_a_bound(engine: FakeEngine, small: Task, tmp_path: Path) -> None:
    result = go(small, tmp_path / "out", engine="fake", engine_batch_size=5, engine_threads=1, trials=2, budget="none")
    assert result.dense.metrics["latency"] > 4 * 1e9 * by_flops(small.model, small.train.example()) - 4 * 2000
    assert result.front["measured_latency"].notna().all()
    assert f"a pass of 5 on {cpu()}, 1 thread." in str(headline_of(result))


def test_latency_may_be_an_objective(engine: FakeEngine, small: Task, tmp_path: Path) -> None:
    result = go(small, tmp_path / "out", engine="fake", objectives="score,latency", budget="params=90%", trials=4)
    assert result.front_costs == ["latency"]
    assert list(result.front["latency"]) == sorted(result.front["latency"])


def test_the_default_engine_is_the_first_that_is_installed_and_is_said(
    engine: FakeEngine, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankfront.objectives.engines.registry.QUICK", ("fake", "eager"))
    go(small, tmp_path / "out", budget="latency=85%", trials=1)
    assert "latency is that in Fake" in (tmp_path / "out" / "run.log").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": "latency@eager=85%"}, "its engine is 'fake', not 'eager'"),
        ({"engine": "eager"}, "its engine is 'fake', not 'eager'"),
        ({"engine_batch_size": 4}, "its engine batch size is 1, not 4"),
        ({"engine_threads": 77}, r"its engine threads is \d, not 77"),
    ],
)
def test_another_setting_is_another_study(
    engine: FakeEngine, small: Task, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    go(small, tmp_path / "out", budget=BUDGET, trials=1)
    with pytest.raises(RankfrontError, match=said):
        go(small, tmp_path / "out", trials=2, **options)


def test_a_study_without_latencies_gets_none_later(engine: FakeEngine, small: Task, tmp_path: Path) -> None:
    result = go(small, tmp_path / "out", budget="params=80%", trials=1)
    assert "latency" not in result.dense.metrics and "measured_latency" not in result.front
    with pytest.raises(RankfrontError, match="its engine is 'none', not 'fake'"):
        go(small, tmp_path / "out", trials=2, engine="fake")
    with pytest.raises(RankfrontError, match="has no latency: it is measured in a study that bounds it"):
        result.best_trial("latency=50%")
    with pytest.raises(RankfrontError, match="asks for fake, and the study has no latency"):
        result.best_trial(BUDGET)


def test_any_budget_can_be_asked_for_afterwards(engine: FakeEngine, small: Task, tmp_path: Path) -> None:
    result = go(small, tmp_path / "out", budget=BUDGET, trials=6)
    fastest = min(speeds_of(result).values(), key=lambda speed: speed.ms)
    share = 100 / fastest.speedup + 1e-3
    assert result.best_trial(f"latency={share:.6f}%").trial == fastest.trial
    assert result.best_trial(f"latency@fake={1000 * fastest.ms + 1e-3:.6f}us").trial == fastest.trial
    with pytest.raises(RankfrontError, match="is kept by no trial on the front"):
        result.best_trial("latency=1%")
    with pytest.raises(RankfrontError, match="asks for eager, and the study has that in fake"):
        result.best_trial("latency@eager=90%")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": "latency@fake=3%"}, "below the smallest possible plan: latency can be at least .* us"),
        ({"budget": "latency@fake=10ns"}, "must carry % or one of s, ms, us"),
        ({"budget": "latency@tensorrt=50%"}, "engine must be one of .*fake, but got 'tensorrt'"),
        ({"budget": "params@fake=50%"}, "may name an engine for latency alone"),
        ({"budget": BUDGET, "engine": "eager"}, "engine must be the one that the budget names"),
        ({"budget": "time=1ms"}, "but got 'time': time is called latency"),
        ({"engine": "tensorrt"}, "engine must be one of"),
        ({"engine": "fake", "engine_batch_size": 0}, "engine_batch_size must be 1 or more"),
        ({"engine": "fake", "engine_threads": 0}, "engine_threads must be 1 or more"),
    ],
)
def test_what_cannot_be(engine: FakeEngine, small: Task, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        go(small, tmp_path / "out", trials=1, **options)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_missing_engine_is_told_before_anything_else(
    name: str, small: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = __import__("importlib").import_module

    def lacking(module: str, package: str | None = None) -> Any:
        if module == name:
            raise ImportError(module)
        return known(module, package)

    monkeypatch.setattr("importlib.import_module", lacking)
    for options in ({"engine": name}, {"budget": f"latency@{name}=50%"}):
        with pytest.raises(RankfrontError, match=rf"engine {name} needs the package {name}, .*pip install"):
            go(small, tmp_path / "out", trials=1, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", QUICK)
def test_every_engine_really_measures(name: str, small: Task, tmp_path: Path) -> None:
    try:
        ENGINES[name].check()
    except RankfrontError as missing:
        pytest.skip(str(missing))
    result = go(replace(small, kinds=("svd",)), tmp_path / "out", engine=name, budget="params=80%", trials=1)
    (speed,) = speeds_of(result).values()
    assert speed.ms > 0 and speed.dense_ms > 0 and result.dense.metrics["latency"] > 0
