"""What would fail in every trial is one sentence before anything is prepared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MultilabelAUROC

from rankfront import RankfrontError, Score, Task
from tests.conftest import blobs, dry_run, go, perceptron
from tests.objectives.dry_run_tasks import (
    HELD_OUT,
    Items,
    Named,
    Wrapped,
    X,
    Y,
    changed,
    images,
    refused,
    task,
)


def test_a_loss_that_is_not_finite_on_the_dense_model_is_told() -> None:
    assert "the loss of the dense model must be finite" in refused(
        lambda: task(loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets) / 0)
    )


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.int8])
def test_classes_in_other_integers_are_taken(dtype: torch.dtype) -> None:
    assert dry_run(task(**changed(targets=lambda y: y.to(dtype)))) == []


MISTAKES: list[tuple[str, Callable[[], Task], str]] = [
    ("float64 inputs", lambda: task(**changed(lambda x: x.double())), "inputs are float64, the weights float32"),
    (
        "float64 arrays",
        lambda: task(**changed(lambda x: x.double().numpy(), lambda y: y.numpy())),
        "inputs are float64",
    ),
    ("float16 inputs", lambda: task(**changed(lambda x: x.half())), "inputs are float16, the weights float32"),
    (
        "integer inputs",
        lambda: task(**changed(lambda x: x.long())),
        "inputs are int64, the weights float32: give floats",
    ),
    (
        "byte images",
        lambda: images(train=(torch.zeros(40, 3, 8, 8, dtype=torch.uint8), torch.arange(40) % 4)),
        "transform=lambda x: x.float() / 255",
    ),
    (
        "channels last",
        lambda: images(train=(torch.zeros(40, 8, 8, 3), torch.arange(40) % 4)),
        "have their 3 channels last, a convolution takes them in dimension 1: give inputs.movedim(-1, 1)",
    ),
    ("float classes", lambda: task(**changed(targets=lambda y: y.float())), "give targets.long()"),
    ("a column of classes", lambda: task(**changed(targets=lambda y: y[:, None])), "give targets.squeeze(1)"),
    ("one-hot integers", lambda: task(**changed(targets=lambda y: nn.functional.one_hot(y, 4))), "argmax(1)"),
    ("classes from 1", lambda: task(**changed(targets=lambda y: y + 1)), "go from 1 to 4"),
    (
        "classes from 1 in a Dataset",
        lambda: task(train=DataLoader(TensorDataset(X, Y + 1), 20), validation=TensorDataset(*HELD_OUT)),
        "counted from 1? give targets - 1",
    ),
    ("NaN inputs", lambda: task(**changed(lambda x: x.where(x.abs() < 2, torch.nan))), "NaN"),
    (
        "a batch of one is squeezed",
        lambda: task(Wrapped(lambda m, x: m.net(x).squeeze()), validation=blobs(101, 2), eval_batch_size=20),
        "",
    ),
    (
        "training alone fails",
        lambda: task(Wrapped(lambda m, x: m.net(x) if not m.training else 1 / 0)),
        "a training step of the model must work, but: the model, given",
    ),
    (
        "training alone reads a weight",
        lambda: task(Wrapped(lambda m, x: m.net(x) + (m.net[0].weight.sum() * 0 if m.training else 0))),  # pyright: ignore
        "exclude='net.0' leaves it dense",
    ),
    (
        "the loss fails in training",
        lambda: task(loss=lambda o, t: nn.functional.cross_entropy(o, t) / (0 if o.requires_grad else 1) + 1 // 0),
        "the loss must accept the model's outputs and the data's targets, but: ZeroDivisionError",
    ),
    (
        "test data of another shape",
        lambda: task(test=(torch.zeros(40, 7), torch.zeros(40, dtype=torch.long))),
        "accept a batch of 8 samples of the test data",
    ),
    (
        "a column of BCE",
        lambda: task(perceptron(classes=1), **changed(targets=lambda y: (y > 1).float()[:, None]), loss=nn.BCELoss()),
        "between 0 and 1",
    ),
    (
        "a loss that does not depend on the outputs",
        lambda: task(loss=lambda o, t: torch.ones((), requires_grad=True) * 2),
        "a gradient with respect to the model's outputs",
    ),
    (
        "a loss of targets and outputs",
        lambda: task(loss=lambda t, o: nn.functional.cross_entropy(o, t)),
        "it does take the two swapped, but is called as loss(outputs, targets)",
    ),
    (
        "a score of targets and outputs",
        lambda: task(score=lambda t, o: (o.argmax(1) == t).float().mean()),
        "it does take the two swapped, but is called as score(outputs, targets)",
    ),
    (
        "a metric of whole numbers",
        lambda: task(
            **changed(targets=lambda y: nn.functional.one_hot(y, 4).float()),
            loss=nn.BCEWithLogitsLoss(),
            score=MultilabelAUROC(4),
        ),
        "select=lambda outputs, targets: (outputs, targets.long())",
    ),
    (
        "a sum in place of a mean",
        lambda: task(score=Score.of_mean(lambda o, t: (o.argmax(1) == t).sum(), "hits")),
        "but it is a sum: of every sample twice it is twice as large",
    ),
    (
        "a sum of losses in place of their mean",
        lambda: task(score=Score.of_mean(nn.CrossEntropyLoss(reduction="sum"), "ce", higher_is_better=False)),
        "but it is a sum",
    ),
    (
        "a proportion of 50",
        lambda: task(score=Score.of_split(lambda o, t: 50.0, "hits", proportion=True)),
        "must be from 0 to 1, but got 50: divide",
    ),
    (
        "a score that is NaN",
        lambda: task(score=lambda o, t: float("nan")),
        "finite number, but got nan: look for NaN in",
    ),
    ("several numbers", lambda: task(score=lambda o, t: o.mean(0)), "(4,) float32: return one, such as their mean"),
    (
        "texts as targets",
        lambda: task(train=Items(lambda i: (X[i], "cat")), validation=HELD_OUT),
        "targets are texts: give classes, whole numbers from 0",
    ),
    (
        "lists of numbers",
        lambda: task(Named(), train=Items(lambda i: {"x": X[i].tolist(), "label": int(Y[i])})),
        "x is a tuple, not a tensor: give tensors of equal length",
    ),
    (
        "lists of numbers in batches",
        lambda: task(Named(), train=[{"x": X[:9].tolist(), "label": Y[:9]}] * 3),
        "x is a list, not a tensor: give tensors of equal length",
    ),
    (
        "the score is of other samples",
        lambda: task(score=lambda o, t: float((o - t).mean())),
        "the score must accept the model's outputs",
    ),
]


@pytest.mark.parametrize(("make", "said"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_one_sentence(make: Callable[[], Task], said: str) -> None:
    assert said in refused(make)


@pytest.mark.parametrize("label", [-1, 4, 255])
def test_a_target_that_is_no_class_is_told_wherever_it_is(tmp_path: Path, label: int) -> None:
    data = Items(lambda i: (X[i], label if i == 33 else int(Y[i])))
    with pytest.raises(RankfrontError, match=r"targets must be classes from 0 to 3, .* but go from .*ignore_index"):
        go(task(validation=data), tmp_path / "validation")
    with pytest.raises(RankfrontError, match=r"targets must be classes from 0 to 3, .* but go from .*ignore_index"):
        go(task(train=data, validation=HELD_OUT, trials=1), tmp_path / "training")


def test_a_sample_on_which_the_model_gives_nan_is_told(tmp_path: Path) -> None:
    data = Items(lambda i: (X[i] / (i != 33), int(Y[i])))
    with pytest.raises(RankfrontError, match="outputs that are numbers, but some are NaN"):
        go(task(validation=data), tmp_path / "out")


def test_a_mistake_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match="training step of the model"):
        go(MISTAKES[[m[0] for m in MISTAKES].index("training alone fails")][1](), tmp_path / "out")
    assert not (tmp_path / "out").exists()
