"""A bound on the score: the best is the smallest network that is still so good; the front stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import rankfront
from rankfront import RankfrontError, Result, Score, Task
from rankfront.objectives.metrics.scale import Scale
from rankfront.objectives.metrics.values import Metrics
from rankfront.objectives.plan import Plan
from rankfront.search.cli.main import main
from rankfront.search.results.front import smallest_within
from rankfront.search.space.budget import Budget
from rankfront.search.storage.dense import DenseModel
from rankfront.search.storage.trials import Scored
from tests.conftest import go

COSTS = Metrics(params=100, flops=100, bytes=100)
ACCURACY = DenseModel(0.9, COSTS, {}, Scale("accuracy", proportion=True))
PERPLEXITY = DenseModel(10.0, COSTS, {}, Scale("perplexity", higher_is_better=False))


def trials(dense: DenseModel, *scores_and_sizes: tuple[float, float, float]) -> list[Scored]:
    return [
        Scored(n, score, dense.scale.minimised(score), Metrics(params=params, flops=flops, bytes=1), Plan({}))
        for n, (score, params, flops) in enumerate(scores_and_sizes)
    ]


GOOD = trials(ACCURACY, (0.89, 60, 20), (0.892, 50, 30), (0.95, 90, 90), (0.85, 10, 10))
TEXTS = trials(PERPLEXITY, (10.4, 60, 20), (10.6, 30, 10), (9.9, 90, 90))


@pytest.mark.parametrize(
    ("budget", "dense", "found", "chosen"),
    [
        ("accuracy=99%", ACCURACY, GOOD, 1),
        ("score=99%", ACCURACY, GOOD, 1),
        ("accuracy=0.89", ACCURACY, GOOD, 1),
        ("accuracy=0.9", ACCURACY, GOOD, 2),
        ("accuracy=50%", ACCURACY, GOOD, 3),
        ("accuracy=98%,flops=50%", ACCURACY, GOOD, 0),
        ("flops=25%,accuracy=98%", ACCURACY, GOOD, 0),
        ("score=105%", PERPLEXITY, TEXTS, 0),
        ("score=10.6", PERPLEXITY, TEXTS, 1),
        ("score=99%", PERPLEXITY, TEXTS, 2),
    ],
)
def test_the_smallest_that_is_as_good(budget: str, dense: DenseModel, found: list[Scored], chosen: int) -> None:
    assert smallest_within(found, Budget.of(budget), dense).trial == chosen


@pytest.mark.parametrize(
    ("budget", "dense", "found", "said"),
    [
        ("accuracy=110%", ACCURACY, GOOD, "the accuracy asked for is 99.00 %, but the best there has 95.00 %"),
        ("accuracy=99%,params=5%", ACCURACY, GOOD, "none keeps the other bounds"),
        ("accuracy=99%", PERPLEXITY, TEXTS, "must be on the study's score, perplexity, or called score"),
        ("score=9", PERPLEXITY, TEXTS, "the perplexity asked for is 9, but the best there has 9.9"),
        ("score=99", ACCURACY, GOOD, "must be at most 1, since accuracy is a proportion: did you mean score=99%"),
        ("score=99%", DenseModel(-1.0, COSTS, {}, Scale("r2")), GOOD, "a share of the dense model's -1 says nothing"),
    ],
)
def test_what_no_trial_keeps_is_told(budget: str, dense: DenseModel, found: list[Scored], said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        smallest_within(found, Budget.of(budget), dense)


@pytest.mark.parametrize("text", ["accuracy=99%", "params=50%, score=0.5", "score=-3"])
def test_a_budget_with_a_score_reads_as_it_is_written(text: str) -> None:
    assert str(Budget.of(text)) == text and Budget.of(str(Budget.of(text))) == Budget.of(text)
    assert "score" not in Budget.of(text).limits(COSTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("score=99%,accuracy=98%", "bounds score 2 times"),
        ("speed=2ms", "one of params, flops, bytes, latency or score, but got 'speed': time is called latency"),
        ("time=50%", "time is called latency"),
        ("mse=90%", "or score, but got"),
    ],
)
def test_what_is_no_bound_on_a_score(text: str, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        Budget.of(text)


@pytest.mark.parametrize("text", ["score=99", "accuracy=99", "accuracy=1.5", "params=50%,score=60"])
def test_a_percent_sign_forgotten_is_told_before_anything_is_written(task: Task, tmp_path: Path, text: str) -> None:
    with pytest.raises(RankfrontError, match=rf"budget {text.split(',')[-1]} must be at most 1, .* did you mean .*%\?"):
        go(task, tmp_path / "out", budget=text)
    assert not (tmp_path / "out").exists()


def test_a_score_that_is_no_proportion_may_be_any_number(task: Task, tmp_path: Path) -> None:
    percent = Score.of_split(lambda outputs, targets: 100 * float((outputs.argmax(1) == targets).double().mean()))
    assert go(replace(task, score=percent), tmp_path / "out", budget="score=50", trials=1).best_trial().score >= 50


def test_a_study_with_a_floor(task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = go(task, tmp_path / "out", budget="accuracy=90%", trials=5)
    held = [t for t in result.scored if t.score >= 0.9 * result.dense.score]
    best = result.best_trial()
    assert best.metrics.params == min(t.metrics.params for t in held)
    assert len(result.front) >= 1 and (tmp_path / "out" / "best" / "plan.json").exists()
    loaded = rankfront.load(tmp_path / "out", task.model)
    x, y = task.validation.source
    with torch.no_grad():
        assert float((loaded(x).argmax(1) == y).double().mean()) == pytest.approx(best.score)
    assert result.best_trial("accuracy=1%").metrics.params == min(t.metrics.params for t in result.retained)
    with pytest.raises(SystemExit) as ended:
        main(["front", str(tmp_path / "out"), "--budget", "accuracy=1%"])
    assert ended.value.code == 0 and "best within accuracy=1%" in capsys.readouterr().out


def test_a_floor_that_nothing_reaches_leaves_the_front(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path / "out", budget="accuracy=150%", trials=2, sampler="knapsack")
    assert len(result.front) and not (tmp_path / "out" / "best").exists()
    with pytest.raises(RankfrontError, match="is kept by no trial"):
        _ = result.best
    assert "No trial" in (tmp_path / "out" / "report.html").read_text()
    assert all(check.holds for check in rankfront.verify(task, tmp_path / "out", device="cpu", progress=False))
    assert len(Result.open(tmp_path / "out").front)
