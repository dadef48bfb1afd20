"""A metric of somebody's own: one class, one line in the registry, and it is everywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
from torch import nn

from rankfront import Result, Task, verify
from rankfront.objectives.metrics.additive import Additive
from rankfront.objectives.metrics.metric import Metric, Predictor, Subject
from rankfront.objectives.metrics.registry import METRICS
from rankfront.objectives.model.layer import Layer
from rankfront.search.cli.main import main
from rankfront.search.storage.trials import METRICS as STORED
from tests.conftest import go


class LargestLayer(Metric):
    """Parameters of the largest module: only measuring tells."""

    name = "largest_layer"
    label = "parameters of the largest layer"
    unit = "W"
    units: ClassVar = {"": 1.0, "K": 1e3}
    example = "largest_layer=200"

    def measure(self, subject: Subject) -> float:
        return max(sum(p.numel() for p in m.parameters(recurse=False)) for m in subject.model.modules())


class Weights(Metric):
    """Parameters without biases: known before building."""

    name = "weights"
    label = "weights"
    units: ClassVar = {"": 1.0}
    example = "weights=500"

    def measure(self, subject: Subject) -> float:
        return sum(p.numel() for p in subject.model.parameters() if p.ndim > 1)

    def predictor(self, subject: Subject, layers: Mapping[str, Layer]) -> Predictor:
        return Additive(self.measure(subject), layers, lambda layer, cost: cost.params - layer.params)


class LargestTensor(Metric):
    """The largest tensor of the file, in bytes: it reads what is saved."""

    name = "largest_tensor"
    label = "bytes of the largest tensor"
    units: ClassVar = {"": 1.0}
    example = "largest_tensor=500"
    note = "A tensor counts once."

    def measure(self, subject: Subject) -> float:
        return max(math.prod(entry.shape) * entry.dtype.itemsize for entry in subject.saved(subject.model))


@pytest.mark.parametrize("metric", [LargestLayer(), Weights(), LargestTensor()], ids=lambda metric: metric.name)
def test_shows_up_everywhere(
    task: Task, tmp_path: Path, metric: Metric, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(METRICS, metric.name, metric)
    out = tmp_path / "out"
    budget = f"{metric.name}=75%"
    result = go(task, out, budget=["params=90%", budget], objectives=("accuracy", "params", metric.name), trials=10)
    dense = result.dense.metrics[metric.name]
    assert result.scored, "no trial keeps the budget"
    assert all(t.metrics[metric.name] <= 0.75 * dense for t in result.scored)

    table = pd.read_csv(out / "front.csv")
    assert (table[metric.name] == result.front[metric.name]).all()
    assert (table[f"{metric.name}_pct"] <= 75).all()

    page = (out / "report.html").read_text()
    assert f"<th>{metric.name}</th>" in page and f"plot-{metric.name}" in page and metric.label in page
    assert metric.show(dense) in page and budget in page
    assert metric.note in page and "Flops count 2 per multiply-add" in page

    with pytest.raises(SystemExit) as stop:
        main(["front", str(out), "--json", "--budget", budget])
    assert stop.value.code in (0, None)
    data = json.loads(capsys.readouterr().out)
    assert data["dense"][metric.name] == dense
    assert all(metric.name in row for row in data["front"])

    checks = verify(task, out, device="cpu", progress=False)
    assert metric.name in {check.what for check in checks} and all(check.holds for check in checks)


def test_a_measured_metric_is_checked_after_the_trial(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = LargestLayer()
    monkeypatch.setitem(METRICS, metric.name, metric)
    result = go(replace(task, kinds=("svd",)), tmp_path / "out", budget=["params=95%", "largest_layer=150"], trials=12)
    over = result.trials[result.trials["largest_layer"] > 150]
    assert len(over), "no trial was over the bound: the test shows nothing"
    assert not over["feasible"].any()
    assert over["reason"].str.contains("over budget: largest_layer is").all()
    assert not set(over["trial"]) & {t.trial for t in result.on_front}


@pytest.mark.parametrize("metric", [LargestLayer(), Weights(), LargestTensor()], ids=lambda metric: metric.name)
def test_verify_measures_a_quantized_model_as_its_trial_did(
    task: Task, tmp_path: Path, metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed (an extra)")
    monkeypatch.setitem(METRICS, metric.name, metric)
    quantized = replace(task, int8=True)
    go(quantized, tmp_path / "out", budget=["params=90%"], trials=3)
    checks = verify(quantized, tmp_path / "out", device="cpu", progress=False)
    assert {"params", "flops", "bytes", metric.name} <= {check.what for check in checks}
    assert all(check.holds for check in checks), [str(check) for check in checks if not check.holds]


def test_a_study_that_is_older_than_a_metric_still_opens(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    before = go(task, out, trials=4)
    metric = Weights()
    monkeypatch.setitem(METRICS, metric.name, metric)
    after = Result.open(out)
    pd.testing.assert_frame_equal(before.front, after.front)
    with pytest.raises(SystemExit):
        main(["report", str(out)])
    with pytest.raises(SystemExit):
        main(["front", str(out), "--budget", "weights=10"])
    assert (
        "budget weights=10 must be on metrics that the study measured (params, flops, bytes)" in capsys.readouterr().err
    )
    go(task, out, trials=6)  # goes on; its new trials know the metric, its old ones do not
    assert [metric.name in t.user_attrs[STORED] for t in Result.open(out).study.trials] == [False] * 4 + [True] * 2


def test_the_registry_counts_what_torch_has() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False))
    assert Weights().measure(Subject(model, None, lambda _: [])) == 10
    assert LargestLayer().measure(Subject(model, None, lambda _: [])) == 8
