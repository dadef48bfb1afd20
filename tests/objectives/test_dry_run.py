"""A dry run says what would fail in every trial, warns of what hardly works, and leaves everything as it was."""

from __future__ import annotations

import copy
import errno
import math
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchmetrics import MeanSquaredError
from torchmetrics.classification import MultilabelAUROC

from rankfront import Choice, FineTune, Plan, RankfrontError, Score, Split, Task
from rankfront.objectives.checks import MOST_TEST
from rankfront.objectives.dry_run import DryRun
from rankfront.objectives.export.model_files import save_weights
from rankfront.objectives.failing import failing, failure
from rankfront.objectives.io import tensors
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.objective import Objective
from rankfront.objectives.warnings import at_chance
from rankfront.search.storage.warnings import warnings_of
from tests.conftest import blobs, dry_run, go, perceptron, trained_perceptron

X, Y = blobs(80, 1)
HELD_OUT = blobs(70, 2)
CPU = torch.device("cpu")


def task(model: nn.Module | None = None, **changes: Any) -> Task:
    given = {"train": (X, Y), "validation": HELD_OUT, "finetune": FineTune(batch_size=20), **changes}
    return Task(model or trained_perceptron(), **given)


def refused(task: Callable[[], Task]) -> str:
    with pytest.raises(RankfrontError) as caught:
        dry_run(task())
    said = str(caught.value)
    assert len(said) < 420 and "\n" not in said and "unexpected" not in said, said
    return said


class Wrapped(nn.Module):
    """A network with something of the user's around it."""

    def __init__(self, around: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.net = trained_perceptron()
        self.around = around

    def forward(self, x: Tensor) -> Any:
        return self.around(self, x)


class Named(nn.Module):
    """A network that takes its inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.net = trained_perceptron()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.net(x if mask is None else x * mask)


def negative_mse(outputs: Tensor, targets: Tensor) -> Tensor:
    return -(outputs.softmax(1) - nn.functional.one_hot(targets, 4)).square().mean()


class Centers(nn.Module):
    """A loss with parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(4))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs - self.centers, targets)


class Checkpointed(nn.Module):
    """Gives what it computes on the way, too, from before a reentrant checkpoint, which refuses `autograd.grad`."""

    def __init__(self) -> None:
        super().__init__()
        self.net = trained_perceptron()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = x.requires_grad_(self.training) * 1
        return checkpoint(self.net, hidden, use_reentrant=True), hidden


class Items(Dataset[Any]):
    """80 samples, made one by one."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return 80

    def __getitem__(self, i: int) -> Any:
        return self.make(i)


def images(net: nn.Module | None = None, **changes: Any) -> Task:
    conv = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Flatten(), nn.Linear(128, 4))
    data = torch.randn(60, 3, 8, 8), torch.arange(60) % 4
    return Task(net or conv, **{"train": data, "validation": data, **changes})


def changed(inputs: Callable[[Tensor], Any] = lambda x: x, targets: Callable[[Tensor], Any] = lambda y: y) -> Any:
    return {"train": (inputs(X), targets(Y)), "validation": (inputs(HELD_OUT[0]), targets(HELD_OUT[1]))}


def test_a_loss_that_is_not_finite_on_the_dense_model_is_told() -> None:
    assert "the loss of the dense model must be finite" in refused(
        lambda: task(loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets) / 0)
    )


def test_a_collation_given_later_takes_the_place_of_the_former() -> None:
    first = task(train=(X, X, Y), validation=(X, X, Y), collate=lambda batch: (batch[0], batch[2]))
    other = replace(first, collate=lambda batch: (batch[1], batch[2] * 0))
    assert int(next(other.train.batches(5)).targets.max()) == 0


def test_what_is_well_passes_without_a_word() -> None:
    assert dry_run(task()) == []


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


class Counting(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 500

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.read += 1
        return X[index % 80] + torch.randn(12), Y[index % 80]


def test_everything_is_left_as_it_was(tmp_path: Path) -> None:
    data, model = Counting(), trained_perceptron()
    order = torch.Generator().manual_seed(3)
    loader = DataLoader(data, 100, shuffle=True, generator=order, num_workers=1, persistent_workers=True)
    objective = Objective(task(model, train=loader), device=CPU)
    before = [torch.get_rng_state(), order.get_state()]
    numpy_before, python_before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002  # pyright: ignore
    weights, dense = copy.deepcopy(model.state_dict()), copy.deepcopy(objective.dense.state_dict())
    workers = loader._iterator
    data.read = 0
    DryRun.of(objective).run(tmp_path)
    assert data.read < 60
    assert loader._iterator is workers
    for state, now in zip(before, (torch.get_rng_state(), order.get_state()), strict=True):
        assert torch.equal(state, now)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002  # pyright: ignore
    assert random.getstate() == python_before
    for held, now in ((weights, model), (dense, objective.dense)):
        assert all(torch.equal(value, now.state_dict()[name]) for name, value in held.items())
    assert not any(parameter.grad is not None for parameter in objective.dense.parameters())


def test_warnings_are_lines_of_the_run_and_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = task(validation=blobs(3, 2), finetune=FineTune(epochs=0), trials=1, name="few")
    result = go(asked, tmp_path / "out", sampler="knapsack")
    (said,) = [warning for warning in warnings_of(result.study) if "3 samples" in warning]
    assert said in (tmp_path / "out" / "report.html").read_text()
    import rankfront

    rankfront.run(replace(asked, trials=2), out=tmp_path / "again", sampler="knapsack", device="cpu")
    assert f"warning: {said}" in " ".join(capsys.readouterr().out.split())


def test_there_is_no_dry_run_where_everything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = task(finetune=FineTune(epochs=0), trials=1, name="done")
    go(asked, tmp_path / "out", sampler="knapsack")
    monkeypatch.setattr(DryRun, "run", lambda *_: 1 / 0)
    assert len(go(asked, tmp_path / "out").trials) == 1


def test_a_mistake_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match="training step of the model"):
        go(MISTAKES[[m[0] for m in MISTAKES].index("training alone fails")][1](), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_split_of_bytes_is_transformed_where_it_is_read() -> None:
    data = torch.zeros(40, 3, 8, 8, dtype=torch.uint8).random_(), torch.arange(40) % 4
    split = Split(data, transform=lambda x: x.float() / 255)
    assert all("3 channels" not in said for said in dry_run(images(train=split, validation=split)))


def test_a_network_that_trains_untrained_layers_alone() -> None:
    model = perceptron()
    model[0].requires_grad_(False)
    assert dry_run(task(model)) == []


def normed(freeze: Callable[[nn.Module], object]) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)).train()
    freeze(model[1])
    return model


@pytest.mark.parametrize("freeze", [lambda norm: norm.requires_grad_(False), lambda norm: norm.eval()])
def test_frozen_norms_are_not_trained_in_the_dry_run_either(freeze: Callable[[nn.Module], object]) -> None:
    single = DataLoader(TensorDataset(X, Y), 1)
    assert dry_run(task(normed(freeze), train=single)) == []
    assert "freeze the norms" in refused(lambda: task(normed(lambda norm: norm), train=single))


class Picky(nn.Module):
    """Linears of which some refuse, in training, to be anything else than a Linear."""

    def __init__(self, count: int, picky: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(12, 12) for _ in range(count))
        self.head = nn.Linear(12, 4)
        self.picky = picky

    def forward(self, x: Tensor) -> Tensor:
        for at, layer in enumerate(self.layers):
            if self.training and at in self.picky and not isinstance(layer, nn.Linear):
                raise TypeError(f"layer {at} must be a Linear")
            x = torch.relu(layer(x)) + x
        return self.head(x)


@pytest.mark.parametrize(
    ("picky", "said"),
    [
        ((11,), "with layer layers.11 factorized must work, but: the model, given (8, 12) float32, raised TypeError"),
        ((0,), "exclude='layers.0' leaves it dense"),
        ((2, 9), "does not with layers.2, layers.9; with the first: "),
        (range(16), "does not with layers.0, layers.1, layers.2, …; with the first: "),
    ],
)
def test_the_layers_that_cannot_be_factorized_are_looked_for_in_halves(picky: Sequence[int], said: str) -> None:
    looked: list[tuple[str, int, int]] = []
    objective = Objective(task(Picky(16, picky)), device=CPU)
    with pytest.raises(RankfrontError) as caught:
        DryRun.of(objective).run(Path("nowhere"), lambda *seen: looked.append(seen))
    assert said in str(caught.value)
    assert looked[-1][1] == looked[-1][2] and len(looked) - 1 <= 2 * (1 + min(len(picky), 4)) * 5
    if len(picky) == 1:
        assert len(looked) - 1 <= 2 * 5  # 2 log₂ 17


def test_what_fails_only_together_is_told_of_all() -> None:
    def why(names: Sequence[str]) -> str:
        return "both" if {"a", "d"} <= set(names) else ""

    assert list(failing(list("abcd"), why)) == [] and failure(list("abcd"), why, None) is None


@given(st.sets(st.integers(0, 40)), st.integers(1, 41))
def test_every_layer_that_fails_by_itself_is_found(bad: set[int], count: int) -> None:
    names, tried = [str(at) for at in range(count)], 0
    expected = [name for name in names if int(name) in bad]

    def why(some: Sequence[str]) -> str:
        nonlocal tried
        tried += 1
        return " ".join(name for name in some if int(name) in bad)

    assert list(failing(names, why)) == [(name, name) for name in expected]
    assert tried <= 1 + 2 * len(expected) * math.ceil(math.log2(count)) or not expected


def test_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensors, "save_file", full)
    with pytest.raises(RankfrontError, match=r"^cannot write .*: the disk is full$"):
        DryRun.of(Objective(task(), device=CPU)).run(tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_networks_are_saved_for_a_moment_where_the_study_will_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder is made for it: it would be removed while another worker is about to write into it."""
    saved: list[Path] = []
    monkeypatch.setattr("tempfile.mkdtemp", lambda *_, **__: 1 / 0)

    def save(path: Path, *arguments: Any, **options: Any) -> None:
        saved.append(path)
        save_weights(path, *arguments, **options)

    monkeypatch.setattr("rankfront.objectives.dry_run.save_weights", save)
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "new" / "study", tmp_path / "there"):
        DryRun.of(Objective(task(), device=CPU)).run(folder)
    assert [path.parent for path in saved] == [tmp_path, tmp_path / "there"]
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_no_more_test_samples_are_scored_than_tell_whether_the_score_works() -> None:
    class Read(Dataset[tuple[Tensor, Tensor]]):
        seen = 0

        def __len__(self) -> int:
            return 5000

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            Read.seen += 1
            return X[index % 80], Y[index % 80]

    def score(outputs: Any, targets: Any) -> float:
        if len(targets) < 60:
            raise ValueError("too few")
        return 0.5

    assert dry_run(task(test=Read(), score=score)) == []
    assert MOST_TEST <= Read.seen < 2 * MOST_TEST
    Read.seen = 0
    assert dry_run(task(test=Read(), score=lambda o, t: 0.5 if len(t) in (70, 5000) else 1 / 0)) == []
    assert Read.seen < 2 * MOST_TEST
    with pytest.raises(RankfrontError, match="the score must accept"):
        dry_run(task(test=blobs(90, 3), score=lambda o, t: 0.5 if len(t) == 70 else 1 / 0))


@pytest.mark.parametrize("most", [1, 2, 4])
def test_no_batch_is_larger_than_those_of_the_trials(most: int) -> None:
    sizes: list[int] = []
    model = Wrapped(lambda m, x: sizes.append(len(x)) or m.net(x))
    objective = Objective(task(model, finetune=FineTune(batch_size=most), eval_batch_size=most), device=CPU)
    sizes.clear()
    with tempfile.TemporaryDirectory() as folder:
        DryRun.of(objective).run(Path(folder))
    assert sizes and max(sizes) <= most


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


@pytest.mark.parametrize("without", [torch.no_grad(), torch.inference_mode()], ids=["no_grad", "inference_mode"])
def test_a_forward_without_gradients_trains_nothing(without: Any) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = trained_perceptron()

        def forward(self, x: Tensor) -> Tensor:
            with without:
                return self.net(x)

    assert "the model's outputs must have a gradient in training, but have none" in refused(lambda: task(Net()))
    assert dry_run(task(Net(), finetune=FineTune(epochs=0))) == []


def test_a_model_that_takes_its_inputs_out_of_their_mapping() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = trained_perceptron()

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return self.net(inputs.pop("x"))

    assert dry_run(task(Net(), train=({"x": X}, Y), validation=({"x": HELD_OUT[0]}, HELD_OUT[1]))) == []


def test_a_model_that_differentiates_in_its_forward() -> None:
    class Forces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))

        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                return torch.autograd.grad(self.net(x).sum(), x, create_graph=True)[0]

    score: Any = lambda outputs, targets: -float(nn.functional.mse_loss(outputs, targets))  # noqa: E731
    given = {"train": (X, X), "validation": (HELD_OUT[0],) * 2, "loss": nn.functional.mse_loss, "score": score}
    objective = Objective(task(Forces(), **given), device=CPU)
    assert float(objective.costs.dense["flops"]) > 2 * 3 * 12 * 16
    objective.prepare()
    plan = Plan({name: Choice("svd", KINDS["svd"].smallest(layer)) for name, layer in objective.by_name.items()})
    assert math.isfinite(objective(plan, 0).score)
