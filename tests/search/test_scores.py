"""A score of any direction and name, from the task to the front."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from optuna.study import StudyDirection
from torch.nn import functional
from torchmetrics.classification import MulticlassF1Score

from rankfront import RankfrontError, Result, Score, Task, finish, verify
from rankfront.search.cli.main import main
from rankfront.search.storage.identity import IDENTITY
from tests.conftest import go


def cross_entropy(outputs: Any, targets: Any) -> float:
    return float(functional.cross_entropy(outputs, targets))


def error_rate(outputs: Any, targets: Any) -> float:
    return float((outputs.argmax(1) != targets).double().mean())


PERPLEXITY = Score.of_split(cross_entropy, "surprise", higher_is_better=False, form=".3f")
ERRORS = Score.of_split(error_rate, "error_rate", higher_is_better=False, proportion=True)


@pytest.mark.parametrize("sampler", ["directions", "greedy", "tpe"])
def test_lower_is_better(task: Task, tmp_path: Path, sampler: str) -> None:
    own = replace(task, score=PERPLEXITY)
    result = go(own, tmp_path / "out", budget="params=60%", trials=8, sampler=sampler, objectives="score,params")
    assert result.study.directions[0] == StudyDirection.MINIMIZE
    assert result.study.metric_names == ["surprise", "params"]
    best = result.best_trial()
    assert best.score == min(t.score for t in result.scored)
    front = result.front.sort_values("params")
    assert (front["surprise"].diff().dropna() < 0).all(), "what costs more is on the front only where it is better"
    assert {"test_surprise", "surprise_pct"} <= set(front)
    page = result.folder.report.read_text()
    assert f"{best.score:.3f}" in page and "Surprise against params" in page


def test_an_error_rate_is_accuracys_mirror_image(task: Task, tmp_path: Path) -> None:
    """Same plans, same networks: the same study seen from the other side."""
    right = go(task, tmp_path / "right", trials=10, seed=2)
    wrong = go(replace(task, score=ERRORS), tmp_path / "wrong", trials=10, seed=2)
    assert [t.plan for t in wrong.scored] == [t.plan for t in right.scored]
    for ours, theirs in zip(wrong.scored, right.scored, strict=True):
        assert ours.score == pytest.approx(1 - theirs.score, abs=1e-12)
    assert wrong.best_trial().trial == right.best_trial().trial
    low, high = wrong.front["error_rate_low"], wrong.front["error_rate_high"]
    assert ((low <= wrong.front["error_rate"]) & (wrong.front["error_rate"] <= high)).all()


def test_finish_and_verify_know_the_direction(task: Task, tmp_path: Path) -> None:
    own = replace(task, score=PERPLEXITY)
    go(own, tmp_path / "out", trials=3)
    done = finish(own, tmp_path / "out", epochs=3, device="cpu", progress=False)
    assert done.score <= done.before
    assert all(check.holds for check in verify(own, tmp_path / "out", device="cpu", progress=False))


def test_a_score_is_read_without_the_users_code(task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go(replace(task, score=PERPLEXITY), tmp_path / "out", trials=3)
    with pytest.raises(SystemExit):
        main(["front", str(tmp_path / "out")])
    assert "validation surprise" in capsys.readouterr().out
    assert Result.open(tmp_path / "out").scale == PERPLEXITY.scale


def test_batches_arrive_one_by_one(task: Task, tmp_path: Path) -> None:
    sizes: list[int] = []

    def right(batches: Any) -> float:
        found = [(outputs.argmax(1) == targets).double() for outputs, targets in batches]
        sizes.extend(map(len, found))
        return float(torch.cat(found).mean())

    own = Score(replace(ERRORS.scale, name="hits", higher_is_better=True), right)
    result = go(replace(task, score=own), tmp_path / "out", trials=2)
    assert max(sizes) <= 512 and result.scale.name == "hits"


@pytest.mark.parametrize("word", ["score", "surprise"])
def test_the_score_among_the_objectives(task: Task, tmp_path: Path, word: str) -> None:
    own = replace(task, score=PERPLEXITY)
    result = go(own, tmp_path / "out", trials=2, objectives=(word, "bytes"))
    assert result.objectives == ["score", "bytes"]
    with pytest.raises(
        RankfrontError, match=r"objectives must be surprise and any of params, flops, bytes, latency, but"
    ):
        go(own, tmp_path / "other", trials=2, objectives="accuracy,bytes")
    with pytest.raises(RankfrontError, match="its objectives is 'score, bytes', not 'score, params'"):
        go(own, tmp_path / "out", trials=3, objectives="score,params")


def test_a_study_that_called_every_score_accuracy_goes_on(task: Task, tmp_path: Path) -> None:
    own = replace(task, score=PERPLEXITY)
    study = go(own, tmp_path / "out", trials=2).study
    study.set_user_attr(IDENTITY, {**study.user_attrs[IDENTITY], "objectives": "accuracy, params, flops"})
    assert len(go(own, tmp_path / "out", trials=4, objectives=("score", "params", "flops")).trials) == 4
    assert isinstance(Result.open(tmp_path / "out").front, pd.DataFrame)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["study"] == "blobs"


@pytest.mark.parametrize("score", [3, "accuracy"])
def test_what_is_no_score(task: Task, score: Any) -> None:
    with pytest.raises(RankfrontError, match=r"score must be a function or a rankfront.Score, but got"):
        replace(task, score=score)


@pytest.mark.parametrize("name", ["params", "bytes", "trial", "runs"])
def test_a_score_does_not_take_the_name_of_a_column(task: Task, tmp_path: Path, name: str) -> None:
    with pytest.raises(RankfrontError, match=f"score's name must not be .* but got '{name}'"):
        go(replace(task, score=Score.of_split(cross_entropy, name)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_test_split_may_come_later(task: Task, tmp_path: Path) -> None:
    first = go(replace(task, test=None), tmp_path / "out", trials=2)
    assert "test_accuracy" not in first.front
    result = go(task, tmp_path / "out", trials=3)
    assert result.front["test_accuracy"].notna().all()
    assert (result.front["test_accuracy_low"] <= result.front["test_accuracy"]).all()
    again = go(replace(task, test=None), tmp_path / "out", trials=3)
    pd.testing.assert_frame_equal(again.front, result.front)
    assert all(check.holds for check in verify(task, tmp_path / "out", device="cpu", progress=False))


def test_a_metric_object_from_the_task_to_the_front(task: Task, tmp_path: Path) -> None:
    metric = MulticlassF1Score(4)
    own = replace(task, score=metric, eval_batch_size=20)
    result = go(own, tmp_path / "out", trials=3)
    assert result.scale.name == "multiclass_f1_score" and result.scale.higher_is_better
    front = result.front
    for column in ("multiclass_f1_score", "test_multiclass_f1_score"):
        assert (front[f"{column}_low"] <= front[column]).all() and (front[column] <= front[f"{column}_high"]).all()
    page = result.folder.report.read_text()
    assert "bootstrap over blocks of samples" in page and "Wilson" not in page
    trial = result.best_trial()
    metric.update(result.load(trial, own.model)(own.validation.source[0]), own.validation.source[1])
    assert trial.score == pytest.approx(float(metric.compute()), abs=1e-6)
    assert all(check.holds for check in verify(own, tmp_path / "out", device="cpu", progress=False))
    assert finish(own, tmp_path / "out", epochs=1, device="cpu", progress=False).score >= trial.score
    assert len(Result.open(tmp_path / "out").front) == len(front)


def test_a_score_without_intervals_has_no_columns_for_them(task: Task, tmp_path: Path) -> None:
    result = go(replace(task, score=PERPLEXITY), tmp_path / "out", trials=2)
    assert not [column for column in result.front if column.endswith(("_low", "_high"))]
    assert "In brackets" not in result.folder.report.read_text()


def test_another_batch_size_of_evaluation_goes_on_with_the_study(task: Task, tmp_path: Path) -> None:
    go(task, tmp_path / "out", trials=2)
    assert len(go(replace(task, eval_batch_size=7), tmp_path / "out", trials=3).trials) == 3


def test_the_models_own_loss_is_part_of_what_a_study_is_known_by(task: Task, tmp_path: Path) -> None:
    class Labelled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = task.model

        def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
            logits = self.body(x)
            return {"logits": logits, "loss": None if labels is None else functional.cross_entropy(logits, labels)}

    own = replace(task, model=Labelled(), loss="model")
    go(own, tmp_path / "out", trials=1)
    assert len(go(own, tmp_path / "out", trials=2).trials) == 2
    with pytest.raises(RankfrontError, match="what the loss returns for the same outputs"):
        go(replace(own, loss=None), tmp_path / "out", trials=3)
