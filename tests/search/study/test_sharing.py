"""Studies whose plans share weights: trained once, kept, and what trials and proposals begin with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankfront import RankfrontError, Result, Task, TrialError, run, verify
from rankfront.objectives.io.checkpoint import Checkpoint
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
