"""A study is known by content: what differs is named, and what an older version did not know does not matter."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import rankfront
from rankfront import RankfrontError, Result, Task, finish, run, verify
from rankfront.objectives.identity_keys import CONTENT
from rankfront.objectives.kinds.registry import KINDS
from rankfront.search.storage.existing import TRIALS
from rankfront.search.storage.source import SOURCE
from tests.conftest import blobs, go, perceptron, trained_perceptron


class Labelled(Dataset[tuple[Tensor, Tensor]]):
    """Samples whose labels are shifted: neither the class nor the length tells."""

    def __init__(self, shift: int) -> None:
        self.x, self.y = blobs(200, 1)
        self.shift = shift

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], (self.y[index] + self.shift) % 4


def with_tanh() -> nn.Module:
    model = trained_perceptron()
    model[1] = model[3] = nn.Tanh()
    return model


def mixed(share: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda outputs, targets: share * nn.functional.cross_entropy(outputs, targets) + outputs.square().mean()


def weighted(weight: list[float]) -> nn.Module:
    return nn.CrossEntropyLoss(weight=torch.tensor(weight, dtype=torch.float32))


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "activation": ({}, {"model": with_tanh()}, "what the model computes on the same inputs"),
    "architecture": ({}, {"model": perceptron(width=20)}, "the model.s architecture; give"),
    "weights": ({}, {"model": perceptron(seed=4)}, "the model's weights .does the code"),
    "labels": ({"train": Labelled(0)}, {"train": Labelled(1)}, "the training data's targets"),
    "class weights": ({"loss": weighted([1, 1, 1, 1])}, {"loss": weighted([9, 1, 1, 0])}, "what the loss returns"),
    "closure": ({"loss": mixed(1.0)}, {"loss": mixed(0.0)}, "what the loss returns"),
    "lambda": (
        {"score": lambda o, t: float((o.argmax(1) == t).double().mean())},
        {"score": lambda o, t: float((o.argmax(1) != t).double().mean())},
        "what the score returns",
    ),
}


@pytest.mark.parametrize(("begun", "changed", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_other_content_is_refused_everywhere(
    task: Task, tmp_path: Path, begun: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    out = tmp_path / "out"
    go(replace(task, **begun), out, trials=1, sampler="knapsack")
    other = replace(task, **changed)
    for again in (
        lambda: go(other, out, trials=2),
        lambda: finish(other, out, epochs=1, device="cpu", progress=False),
        lambda: verify(other, out, device="cpu", progress=False),
    ):
        with pytest.raises(RankfrontError, match=f"belongs to another study: it differs in {said}"):
            again()
    assert len(Result.open(out).trials) == 1


def test_the_same_under_another_name_goes_on(task: Task, tmp_path: Path) -> None:
    go(replace(task, loss=nn.CrossEntropyLoss()), tmp_path / "out", trials=1, sampler="knapsack")
    same = replace(task, loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets))
    assert len(go(same, tmp_path / "out", trials=2).trials) == 2


@pytest.fixture
def old(task: Task, tmp_path: Path) -> Path:
    """A study that knows only what an older version stored."""
    out = tmp_path / "out"
    go(task, out, trials=2, sampler="knapsack")
    with sqlite3.connect(out / "study.db") as database:
        for attribute in (CONTENT, SOURCE, TRIALS):
            database.execute("DELETE FROM study_user_attributes WHERE key = ?", [attribute])
    return out


def test_an_older_versions_study_opens_and_goes_on(task: Task, old: Path) -> None:
    assert len(Result.open(old).front) >= 1
    assert all(check.holds for check in verify(task, old, device="cpu", progress=False))
    result = go(task, old, trials=3)
    assert len(result.trials) == 3
    assert CONTENT in result.study.user_attrs  # from now on it is known


def test_a_study_begun_with_all_kinds_goes_on_though_there_are_more_kinds_today(task: Task, tmp_path: Path) -> None:
    out, every = tmp_path / "out", replace(task, kinds=tuple(KINDS))
    go(every, out, trials=1, sampler="knapsack")
    with sqlite3.connect(out / "study.db") as database:
        (text,) = database.execute("SELECT value_json FROM study_user_attributes WHERE key = 'identity'").fetchone()
        identity = {**json.loads(text), "kinds": [name for name in KINDS if name != "stored"]}
        database.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = 'identity'", [json.dumps(identity)]
        )
        database.execute("DELETE FROM study_user_attributes WHERE key = 'rewrites'")
    assert len(go(every, out, trials=2).trials) == 2
    assert len(go(every, out, trials=3).trials) == 3
    with pytest.raises(RankfrontError, match="its kinds is"):
        go(replace(task, kinds=("svd",)), out, trials=4)


def test_a_study_begun_before_errors_knew_the_loss_goes_on_with_its_own_errors(task: Task, tmp_path: Path) -> None:
    out, before = tmp_path / "out", replace(task, sensitivity="none")
    whole = go(before, tmp_path / "whole", trials=4)
    go(before, out, trials=2)
    with sqlite3.connect(out / "study.db") as database:
        (text,) = database.execute("SELECT value_json FROM study_user_attributes WHERE key = 'identity'").fetchone()
        identity = {name: value for name, value in json.loads(text).items() if name != "sensitivity"}
        database.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = 'identity'", [json.dumps(identity)]
        )
    result = go(task, out, trials=4)
    assert [t.params for t in result.study.trials] == [t.params for t in whole.study.trials]


def test_an_older_versions_study_of_another_model_is_refused(task: Task, old: Path) -> None:
    with pytest.raises(RankfrontError, match="it differs in the model's weights"):
        go(replace(task, model=perceptron(seed=4)), old, trials=3)
    with pytest.raises(RankfrontError, match="it differs in the training data"):
        go(replace(task, train=blobs(400, 9)), old, trials=3)


def test_two_tasks_without_a_name_are_told_apart_in_pythons_words(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = replace(task, name="model")
    run(first, budget="params=60%", trials=1, device="cpu", progress=False)
    other = replace(first, model=perceptron(width=20))
    with pytest.raises(RankfrontError, match=r"another out= .or, without one, the task another name=.*") as said:
        run(other, trials=1, device="cpu", progress=False)
    assert "--" not in str(said.value)


def test_another_budget_is_looked_at_without_a_search(task: Task, tmp_path: Path) -> None:
    out = tmp_path / "out"
    go(task, out, budget="params=60%", trials=2, sampler="knapsack")
    with pytest.raises(RankfrontError, match=r"its budget is 'params=60%', not 'params=90%'; `(.*)` gives") as said:
        go(task, out, budget="params=90%", trials=3)
    (asked,) = re.findall("`(.*)`", str(said.value))
    assert eval(asked, {"rankfront": rankfront}).trial == Result.open(out).best_trial("params=90%").trial
    assert "--out" not in str(said.value) and "another out=" in str(said.value)


def test_all_that_differs_is_named(task: Task, tmp_path: Path) -> None:
    go(task, tmp_path / "out", trials=1, sampler="knapsack")
    said = "its seed is 0, not 3; its calibration is 200, not 100; it differs in the validation data's inputs, the"
    with pytest.raises(RankfrontError, match=said):
        go(replace(task, calibration=100, validation=blobs(200, 8)), tmp_path / "out", seed=3)
