"""What hardly works is warned of; what works is no word worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanSquaredError

from rankfront import FineTune, Score, Task
from rankfront.objectives.warnings import at_chance
from rankfront.search.storage.warnings import warnings_of
from tests.conftest import blobs, dry_run, go, perceptron, trained_perceptron
from tests.objectives.dry_run_tasks import (
    HELD_OUT,
    Centers,
    Checkpointed,
    Items,
    Named,
    Wrapped,
    X,
    Y,
    negative_mse,
    task,
)

WARNINGS: list[tuple[str, Callable[[], Task], str]] = [
    (
        "columns that forward does not take",
        lambda: task(
            Named(),
            train=Items(lambda i: {"x": X[i], "label": Y[i], "idx": i, "text": "a"}),
            validation=[{"x": HELD_OUT[0], "label": HELD_OUT[1], "idx": 3}],
        ),
        "does not take 'idx', 'text' of a batch: it is called without",
    ),
    ("an error as score", lambda: task(score=negative_mse), "score negative_mse is taken as higher is better"),
    ("a loss with parameters", lambda: task(loss=Centers()), "the loss, Centers, has 4 parameters of its own"),
    ("a summed loss", lambda: task(loss=nn.CrossEntropyLoss(reduction="sum")), "the loss of a batch is a sum"),
    (
        "a summed function",
        lambda: task(loss=lambda o, t: (o - t[:, None]).pow(2).sum()),
        "the loss of a batch is a sum",
    ),
    ("a softmax", lambda: task(nn.Sequential(trained_perceptron(), nn.Softmax(1))), "the model gives probabilities"),
    ("logits as log-probabilities", lambda: task(loss=nn.NLLLoss()), "takes log-probabilities, but the model gives"),
    ("3 samples", lambda: task(validation=blobs(3, 2)), "has 3 samples: one of them is 33 % of the score"),
    ("one sample", lambda: task(validation=blobs(1, 2)), "has 1 sample:"),
    ("the same data", lambda: task(validation=(X, Y)), "the same samples"),
    ("copies of the same data", lambda: task(validation=(X.clone(), Y.clone())), "the same samples"),
    (
        "the same data in Datasets",
        lambda: task(train=DataLoader(TensorDataset(X, Y), 10), validation=TensorDataset(X, Y)),
        "the same samples",
    ),
    ("calibration", lambda: task(calibration=500), "500 samples, but the training data has 80"),
    ("lr", lambda: task(finetune=FineTune(lr=50.0)), "finetune lr 50 is too large for adamw"),
    ("lr of sgd", lambda: task(finetune=FineTune(lr=1e6, optimizer="sgd")), "finetune lr 1e+06 is too large for sgd"),
    (
        "frozen",
        lambda: task(trained_perceptron().requires_grad_(False)),
        "every parameter is frozen: nothing to fine-t",
    ),
    (
        "batch statistics",
        lambda: task(Wrapped(lambda m, x: m.net(x - 0.5 * x.mean(0)))),
        "depends on the others in its batch",
    ),
    (
        "dropout that stays",
        lambda: task(Wrapped(lambda m, x: m.net(nn.functional.dropout(x, 0.5, training=True)))),
        "other outputs each time",
    ),
]


@pytest.mark.parametrize(("make", "said"), [c[1:] for c in WARNINGS], ids=[c[0] for c in WARNINGS])
def test_what_hardly_works_is_warned_of(make: Callable[[], Task], said: str) -> None:
    warnings = dry_run(make())
    assert len([warning for warning in warnings if said in warning]) == 1, warnings


GOOD: list[tuple[str, Callable[[], Task]]] = [
    ("log-probabilities", lambda: task(nn.Sequential(trained_perceptron(), nn.LogSoftmax(1)), loss=nn.NLLLoss())),
    ("class weights in float64", lambda: task(loss=nn.CrossEntropyLoss(torch.ones(4, dtype=torch.float64)))),
    ("a reentrant checkpoint", lambda: task(Checkpointed())),
    ("a loss of shape (1,)", lambda: task(loss=lambda o, t: nn.functional.cross_entropy(o, t)[None])),
    ("a mean of a vector of hits", lambda: task(score=Score.of_mean(lambda o, t: o.argmax(1) == t, "hits"))),
    ("a rounded proportion", lambda: task(score=Score.of_split(lambda o, t: 1.0000001, "hits", proportion=True))),
    ("a mean of zero", lambda: task(score=Score.of_mean(lambda o, t: torch.zeros(()), "nothing"))),
    ("a list of pairs of samples", lambda: task(train=[(X[i], int(Y[i])) for i in range(80)])),
    ("a list of mappings of samples", lambda: task(Named(), train=[{"x": X[i], "label": Y[i]} for i in range(80)])),
    (
        "a list of pairs of vectors",
        lambda: task(
            perceptron(classes=1),
            train=[(X[i], X[i, :1]) for i in range(80)],
            validation=(HELD_OUT[0], HELD_OUT[0][:, :1]),
            loss=nn.MSELoss(),
            score=MeanSquaredError(),
        ),
    ),
]


@pytest.mark.parametrize("make", [g[1] for g in GOOD], ids=[g[0] for g in GOOD])
def test_what_works_is_no_word_worth(make: Callable[[], Task]) -> None:
    assert dry_run(make()) == []


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("lr", [1e-4, 1e-3, 1e-2])
def test_a_usual_learning_rate_is_no_word_worth(optimizer: Any, lr: float) -> None:
    assert dry_run(task(finetune=FineTune(lr=lr, optimizer=optimizer, distill=0.5))) == []


def test_a_model_in_training_mode_with_dropout_is_fine() -> None:
    model = nn.Sequential(nn.Linear(12, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, 4))
    assert model.training and dry_run(task(model)) == [] and model.training


@pytest.mark.parametrize("form", ["tensors", "dataset", "loader"])
def test_guessing_is_warned_of(form: str) -> None:
    forms = {
        "tensors": HELD_OUT,
        "dataset": TensorDataset(*HELD_OUT),
        "loader": DataLoader(TensorDataset(*HELD_OUT), 20),
    }
    asked = task(validation=forms[form])
    assert "is hardly better than that of" in at_chance(asked, asked.model, 0.27, 70)
    assert at_chance(asked, asked.model, 0.9, 70) == ""
    assert at_chance(replace(asked, score=lambda o, t: 0.1), asked.model, 0.1, 70) == ""


def test_warnings_are_lines_of_the_run_and_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = task(validation=blobs(3, 2), finetune=FineTune(epochs=0), trials=1, name="few")
    result = go(asked, tmp_path / "out", sampler="knapsack")
    (said,) = [warning for warning in warnings_of(result.study) if "3 samples" in warning]
    assert said in (tmp_path / "out" / "report.html").read_text()
    import rankfront

    rankfront.run(replace(asked, trials=2), out=tmp_path / "again", sampler="knapsack", device="cpu")
    assert f"warning: {said}" in " ".join(capsys.readouterr().out.split())


class Rounded(nn.Module):
    """A network in some type whose output in a batch differs by so much from that of one sample."""

    def __init__(self, dtype: torch.dtype, by: float, out: torch.dtype) -> None:
        super().__init__()
        self.net = trained_perceptron().to(dtype)
        self.dtype, self.by, self.out = dtype, by, out

    def forward(self, x: Tensor) -> Tensor:
        return (self.net(x.to(self.dtype)) * (1 + self.by * (len(x) > 1))).to(self.out)


@pytest.mark.parametrize("out", [torch.float32, None])
@pytest.mark.parametrize(
    ("dtype", "rounding", "more"),
    [(torch.float32, 1e-3, 0.03), (torch.float16, 0.02, 0.1), (torch.bfloat16, 0.05, 0.3)],
)
def test_rounding_of_the_models_own_type_is_no_word_worth(
    dtype: torch.dtype, rounding: float, more: float, out: torch.dtype | None
) -> None:
    assert dry_run(task(Rounded(dtype, rounding, out or dtype))) == []
    (said,) = dry_run(task(Rounded(dtype, more, out or dtype)))
    assert "depends on the others in its batch" in said
