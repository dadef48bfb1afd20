"""Studies whose plans share weights: trained once, kept, and what trials and proposals begin with."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rankfront import RankfrontError, Result, Task, TrialError, run, verify
from rankfront.objectives.io.checkpoint import Checkpoint
from rankfront.objectives.objective import Objective
from rankfront.search.results.best import best_within_or_none
from rankfront.search.space.budget import Budget
from rankfront.search.study import sharing
from rankfront.search.study.sharing import SHARED
from tests.conftest import go


def shared_training(result: Result) -> dict[str, Any]:
    return result.study.user_attrs[SHARED]


def test_weights_are_trained_once_and_every_figure_holds(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path, budget="params=40%", trials=6, shared=True)
    found = shared_training(result)
    assert found["steps"] == 6  # a quarter of 6 trials of 4 steps
    before = (tmp_path / "shared.safetensors").stat().st_mtime_ns
    assert all(check.holds for check in verify(task, tmp_path, device="cpu", progress=False))
    more = go(task, tmp_path, trials=9)  # the study's own settings, and its own weights
    assert shared_training(more) == found
    assert (tmp_path / "shared.safetensors").stat().st_mtime_ns == before
    assert len(more.scored) == 9


def test_a_study_that_is_stopped_while_it_trains_ends_as_an_undisturbed_one(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(task, finetune=replace(task.finetune, epochs=8))
    whole = go(task, tmp_path / "one", budget="params=40%", trials=3, shared=True)
    epochs: list[int] = []

    save = Checkpoint.save

    def killed(self: Checkpoint, step: int, *args: Any, **kwargs: Any) -> None:
        save(self, step, *args, **kwargs)
        if "shared" in self.path.name:
            epochs.append(step)
            if len(epochs) == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Checkpoint, "save", killed)
        go(task, tmp_path / "two", budget="params=40%", trials=3, shared=True)
    resumed = go(task, tmp_path / "two", budget="params=40%", trials=3, shared=True)
    assert epochs == [4, 8]
    assert [t.plan for t in resumed.scored] == [t.plan for t in whole.scored]
    assert [t.score for t in resumed.scored] == [t.score for t in whole.scored]


def test_where_shared_training_fails_trials_begin_without_it(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise TrialError("the loss must be finite, but it was nan at step 3")

    monkeypatch.setattr(sharing, "train_shared", fails)
    result = go(task, tmp_path, trials=2, shared=True, budget="params=40%")
    why = "the loss must be finite, but it was nan at step 3"
    assert f"shared training failed, trials begin without it: {why}" in (tmp_path / "run.log").read_text()
    assert shared_training(result) == {"failed": why}
    monkeypatch.undo()
    more = go(task, tmp_path, trials=4)  # it is not tried again: trials would begin otherwise than before
    assert shared_training(more) == {"failed": why} and len(more.scored) == 4
    assert not (tmp_path / "shared.safetensors").exists()


def test_a_study_keeps_to_how_it_was_begun(task: Task, tmp_path: Path) -> None:
    go(task, tmp_path, budget="params=40%", trials=2)
    with pytest.raises(RankfrontError, match="shared"):
        run(task, out=tmp_path, budget="params=40%", trials=3, shared=True, device="cpu", progress=False)


def test_any_budget_without_a_trial(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path, budget="params=40%", trials=3, shared=True)
    dense = result.dense.metrics["params"]
    for budget, share in (("params=40%", 0.4), ("params=25%", 0.25), (["params=30%", "flops=35%"], 0.3)):
        made = result.sliced(budget)
        held = sum(p.numel() for p in made.model.parameters())
        assert held == made.metrics["params"] <= share * dense
        objective = Objective(task, device=torch.device("cpu"))
        assert objective.score(made.model) == made.score
        assert not made.model.training
    assert len(result.scored) == 3
    again = go(task, tmp_path, trials=3)  # all done: what they share is read
    assert again.sliced("params=25%").score == result.sliced("params=25%").score


def test_the_best_within_a_budget_is_a_slice_where_that_scores_better(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path, budget="params=40%", trials=3, shared=True)
    objective = Objective(task, device=torch.device("cpu"))
    least = min(t.metrics["params"] for t in result.scored)
    below = f"params={math.floor(100 * least / result.dense.metrics['params'])}%"
    assert objective.score(result.model(below)) == result.sliced(below).score  # no trial keeps it
    for budget in ("params=40%", "params=35%"):
        trial, made = best_within_or_none(result, Budget.of(budget)), result.sliced(budget)
        best = made.score if trial is None else max(trial.score, made.score)
        assert objective.score(result.model(budget)) == best


@pytest.mark.parametrize(
    ("budget", "said"),
    [("params=0.01%", "is below the smallest possible plan"), ("score=90%", "must be on metrics alone")],
)
def test_budgets_that_no_slice_keeps(task: Task, tmp_path: Path, budget: str, said: str) -> None:
    result = go(task, tmp_path, budget="params=40%", trials=1, shared=True)
    with pytest.raises(RankfrontError, match=said):
        result.sliced(budget)


def test_without_shared_weights_there_are_no_slices(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path, budget="params=40%", trials=1)
    with pytest.raises(RankfrontError, match="sliced needs weights that all plans share"):
        result.sliced("params=25%")
