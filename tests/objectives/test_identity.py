"""A study is known by content: every change of what counts is named, and nothing else is."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from rankfront import Score, Split, Task
from rankfront.objectives.data.content import fingerprint_of
from rankfront.objectives.identity import differences, identity_of
from rankfront.objectives.identity_keys import CONTENT, KEYS
from rankfront.objectives.io import fingerprint
from rankfront.objectives.objective import Objective
from tests.conftest import blobs, perceptron, trained_perceptron

CPU = torch.device("cpu")
X, Y = blobs(400, 1)


@functools.cache
def network() -> nn.Sequential:
    return trained_perceptron()


class Behind(Dataset[Any]):
    """Samples that a hash of the object cannot see."""

    def __init__(self, x: Tensor, y: Tensor, noise: float = 0.0) -> None:
        self.x, self.y, self.noise = x, y, noise

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i] + self.noise * torch.randn(self.x[i].shape), self.y[i]


class Renamed(Behind):
    """The same under another name."""


def task_of(**change: Any) -> Task:
    return Task(
        **{
            "model": copy.deepcopy(network()),
            "train": (X, Y),
            "validation": blobs(200, 2),
            "calibration": 200,
            **change,
        }
    )


def identity(task: Task) -> dict[str, Any]:
    return identity_of(task, copy.deepcopy(task.model).eval())


def told(stored: Task, asked: Task) -> list[str]:
    kept = json.loads(json.dumps(identity(stored), allow_nan=False))
    assert kept.keys() <= KEYS
    return differences(kept, identity(asked))


def with_tanh() -> nn.Module:
    model = copy.deepcopy(network())
    model[1] = model[3] = nn.Tanh()
    return model


def weighted(*weights: float) -> nn.Module:
    return nn.CrossEntropyLoss(weight=torch.tensor(weights, dtype=torch.float32))


def mixed(share: float) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return share * nn.functional.cross_entropy(outputs, targets) + (1 - share) * outputs.square().mean()

    return loss


def right(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.argmax(1) == targets).double().mean())


COMPUTES = "what the model computes on the same inputs (its weights are the same)"
LOSS, SCORE = (f"what the {name} returns for the same outputs and targets" for name in ("loss", "score"))
INPUTS, TARGETS = (f"the training data's {part}" for part in ("inputs", "targets"))
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "weights": ({}, {"model": perceptron(seed=3)}, ["the model's weights"]),
    "an activation": ({}, {"model": with_tanh()}, [COMPUTES]),
    "one target": ({}, {"train": (X, torch.where(torch.arange(400) == 7, (Y + 1) % 4, Y))}, [TARGETS]),
    "one input": ({}, {"train": (X + (torch.arange(400) == 9)[:, None], Y)}, [INPUTS]),
    "both": ({}, {"train": blobs(400, 5)}, [INPUTS, TARGETS]),
    "labels behind a set": ({"train": Behind(X, Y)}, {"train": Behind(X, (Y + 1) % 4)}, [TARGETS]),
    "inputs behind a set": ({"train": Behind(X, Y)}, {"train": Behind(5 * X + 3, Y)}, [INPUTS]),
    "labels behind a loader": (
        {"train": DataLoader(Behind(X, Y), 32, shuffle=True)},
        {"train": DataLoader(Behind(X, Y.flip(0)), 32, shuffle=True)},
        [TARGETS],
    ),
    "validation data": (
        {}, {"validation": blobs(200, 9)}, [f"the validation data's {part}" for part in ("inputs", "targets")]
    ),
    "test data": (
        {"test": blobs(200, 3)}, {"test": blobs(200, 4)}, [f"the test data's {part}" for part in ("inputs", "targets")]
    ),
    "a transform": (
        {"train": Split((X, Y), transform=lambda x: x)}, {"train": Split((X, Y), transform=lambda x: 2 * x)}, [INPUTS]
    ),
    "an augmentation": (
        {"train": Split((X, Y), augment=lambda x, _: x)},
        {"train": Split((X, Y), augment=lambda x, _: -x)},
        ["what the augmentation makes of the training data"],
    ),
    "class weights": ({"loss": weighted(1, 1, 1, 1)}, {"loss": weighted(9, 1, 1, 0)}, [LOSS]),
    "smoothing": ({}, {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}, [LOSS]),
    "a closure's constant": ({"loss": mixed(1.0)}, {"loss": mixed(0.5)}, [LOSS]),
    "another lambda": ({"score": lambda o, t: right(o, t)}, {"score": lambda o, t: 1 - right(o, t)}, [SCORE]),
    "loss and score": ({}, {"loss": mixed(0.5), "score": lambda o, t: -float(o.mean())}, [LOSS, SCORE]),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_of_content_is_named(change: tuple[dict[str, Any], dict[str, Any], list[str]]) -> None:
    before, after, words = change
    assert told(task_of(**before), task_of(**after)) == words
    assert told(task_of(**before), task_of(**before)) == told(task_of(**after), task_of(**after)) == []


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the class of a set": ({"train": Behind(X, Y)}, {"train": Renamed(X, Y)}),
    "the form of data": ({"train": TensorDataset(X, Y)}, {"train": DataLoader(Behind(X, Y), 16, shuffle=True)}),
    "a loss's name": ({"loss": nn.CrossEntropyLoss()}, {"loss": lambda o, t: nn.functional.cross_entropy(o, t)}),
    "a score's name": ({}, {"score": Score.of_split(right, "share_right")}),
    "test data that is new": ({}, {"test": blobs(100, 3)}),
    "noise that is drawn": ({"train": Behind(X, Y, 0.1)}, {"train": Behind(X, Y, 0.2)}),
    "the mode": ({}, {"model": copy.deepcopy(network()).train()}),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_names_and_forms_are_no_content(change: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert told(task_of(**change[0]), task_of(**change[1])) == []


def test_last_bits_of_what_is_computed_are_no_content(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of()
    stored = json.loads(json.dumps(identity(task)))
    plain = nn.functional.linear

    def elsewhere(*args: Any) -> Tensor:
        return plain(*args) * (1 + 1e-6)

    monkeypatch.setattr(nn.functional, "linear", elsewhere)
    assert differences(stored, identity(task)) == []


def test_an_old_study_opens_by_what_it_knows() -> None:
    old = {key: value for key, value in identity(task_of()).items() if key != CONTENT}
    assert differences(old | {"loss": "cross_entropy", "score": None}, identity(task_of())) == []
    assert differences(old, identity(task_of(train=blobs(400, 5)))) == ["the training data"]
    assert differences(old, identity(task_of(model=perceptron(seed=3)))) == ["the model's weights"]
    assert differences({}, identity(task_of())) == []


def test_only_tensors_are_hashed_whole_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (Behind(X, Y), DataLoader(Behind(X, Y), 32)):
        assert fingerprint_of(Split(data)) is None and "train data" not in identity(task_of(train=data))
    old = {"train data": "the hash of a length and a type"}
    assert differences(old, identity(task_of(train=Behind(X, Y)))) == []
    hashed: list[int] = []
    exact = fingerprint.fingerprints

    def counting(tensors: dict[str, Tensor], *more: object) -> list[str]:
        hashed.extend(tensor.numel() for tensor in tensors.values())
        return exact(tensors, *more)

    for module in ("io.fingerprint", "data.content"):
        monkeypatch.setattr(f"rankfront.objectives.{module}.fingerprints", counting)
    found = identity(task_of())
    assert hashed.count(X.numel()) == hashed.count(Y.numel()) == 1
    assert found["train data"] == fingerprint_of(Split((X, Y)))


class Structured(nn.Module):
    """Outputs in a dict of tensors and tuples."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.body, self.factor = copy.deepcopy(network()), factor

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = self.body(x)
        return {"logits": y, "more": (self.factor * y, y.argmax(1))}


def test_outputs_of_any_structure() -> None:
    tasks = [
        task_of(
            model=Structured(factor),
            loss=lambda o, t: nn.functional.cross_entropy(o["logits"], t),
            score=lambda o, t: right(o["logits"], t),
        )
        for factor in (1.0, 1.0, 2.0)
    ]
    assert told(tasks[0], tasks[1]) == []
    assert told(tasks[0], tasks[2]) == [COMPUTES]


def test_code_that_fails_is_not_known_and_raises_nothing_here() -> None:
    def fails(outputs: Tensor, targets: Tensor) -> Tensor:
        raise ValueError("not on this probe")

    assert told(task_of(loss=fails), task_of()) == []


def test_a_large_network_sees_a_part_of_its_probe() -> None:
    seen: list[int] = []
    model = copy.deepcopy(network())
    model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    identity_of(task_of(model=model), model, flops=1e15)
    assert set(seen) == {8}


def prepared(task: Task, cache: Path) -> set[str]:
    objective = Objective(task, device=CPU, cache=cache)
    objective.prepare()
    return {path.name for path in cache.iterdir()}


OTHERS: dict[str, Callable[[Task], Task]] = {
    "an activation": lambda task: replace(task, model=with_tanh()),
    "weights": lambda task: replace(task, model=perceptron(seed=3)),
    "data behind a set": lambda task: replace(task, train=Renamed(5 * X + 3, Y)),
    "fewer samples": lambda task: replace(task, calibration=100),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_decompositions_of_other_content_are_not_taken(other: Callable[[Task], Task], tmp_path: Path) -> None:
    task = task_of(train=Behind(X, Y))
    first = prepared(task, tmp_path)
    assert prepared(task, tmp_path) == first
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankfront.objectives.kinds.svd.Svd.decompose", None)
        prepared(task, tmp_path)  # nothing is decomposed anew
    assert not first & (prepared(other(task), tmp_path) - first) and len(prepared(other(task), tmp_path)) > len(first)


def test_the_objectives_identity_is_there_before_and_after_it_is_prepared() -> None:
    objective = Objective(task_of(), device=CPU)
    assert differences(objective.identity, identity(task_of())) == []
