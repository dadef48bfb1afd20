"""Whatever is wrong with what is given ends in one sentence: (wrong thing) × (entry point) → `RankfrontError`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

import rankfront
from rankfront import FineTune, Result, Task
from tests.conftest import perceptron
from tests.refusals import DATA, Net, refused, task


def r2_score(y_true: Any, y_pred: Any) -> float:
    """As scikit-learn's."""
    return float(y_true.mean() - y_pred.mean())


class Frame:
    """What a pandas frame looks like to who does not import pandas."""

    shape = (3, 2)


Frame.__module__ = "pandas.core.frame"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


def generator() -> Iterator[int]:
    yield 1


MODELS: list[tuple[Any, str]] = [
    (None, "model must be a torch.nn.Module, but got None"),
    (Net, "got the class Net: make a network of it"),
    (lambda x: x, "wrap it in a Module"),
    ("net.pt", "'net.pt', a path: load the network"),
    (Path("net.pt"), "a path: load the network"),
    (perceptron().state_dict(), "a state dict: make the network"),
    (torch.zeros(3), "got Tensor (3,) float32"),
    (3, "got 3"),
    (Unprintable(), "got Unprintable"),
]
SPLITS: list[tuple[Any, str]] = [
    ("images/", "'images/': a path is not read"),
    (Path("images"), "a path is not read"),
    (np.zeros((3, 2)), "of an autoencoder, give (x, x)"),
    (torch.zeros(3, 2), "of an autoencoder, give (x, x)"),
    (Frame(), "frame[columns].to_numpy()"),
    (generator(), "gives its batches once"),
    (generator, "call it, and give what it returns"),
    (Dataset, "got the class Dataset: make one"),
    ({"x": torch.zeros(3)}, "got {'x': tensor([0., 0., 0.])}"),
    (3, "got 3"),
    ((torch.zeros(3), torch.zeros(4)), "must have the same length"),
    ((torch.zeros(0, 3), torch.zeros(0)), "at least one sample"),
    ((torch.zeros(3),) * 3, "a tuple of 3 needs a collate"),
    ([], "data must be a pair of tensors"),
    ((torch.zeros(3, 2), None), "without targets, give the inputs twice, (x, x)"),
    (TensorDataset(torch.zeros(3, 2)), "without targets, give the inputs twice, (x, x)"),
    ((pandas.DataFrame([[1.0]]), pandas.Series([1])), "torch.as_tensor(frame.to_numpy()) makes tensors of them"),
    ((np.zeros((3, 2)), np.array(["a", "b", "c"])), "arrays must hold numbers"),
    (([[0.0]], [1]), "torch.tensor(…) makes a tensor of a list of numbers"),
    ((torch.zeros(3, 2).to_sparse(), torch.zeros(3)), "but one is sparse_coo: give tensor.to_dense()"),
    ((torch.zeros(3, 2).to_sparse_csr(), torch.zeros(3)), "but one is sparse_csr: give tensor.to_dense()"),
    ((torch.nested.nested_tensor([torch.zeros(2)]), torch.zeros(1)), "but one is nested: give a DataLoader that pads"),
]
FIELDS: list[tuple[str, Any, str]] = [
    ("loss", "mse", "'mse': give the function, such as torch.nn.functional.mse_loss"),
    ("score", "accuracy", "'accuracy': leave it out"),
    ("train", (DATA[0], DATA[1].tolist()), "got (Tensor, list): torch.tensor(…) makes a tensor"),
    ("loss", nn.CrossEntropyLoss, "the class CrossEntropyLoss: make one"),
    ("score", 3, "score must be a function"),
    (
        "score",
        nn.functional.mse_loss,
        "say it by rankfront.Score.of_split(mse_loss, 'mse_loss', higher_is_better=False",
    ),
    ("score", nn.L1Loss(), "L1Loss is a loss of torch's"),
    ("score", lambda y_true, y_pred: 1.0, "is called as score(outputs, targets), but function"),
    ("score", r2_score, "takes (y_true, y_pred): give lambda outputs, targets: r2_score(targets, outputs)"),
    ("score", rankfront.Score.of_mean(r2_score, "flops_pct"), "a score's name must not be a metric's"),
    ("loss", lambda target, pred: pred.mean(), "is called as loss(outputs, targets), but function"),
    ("score", Net, "the class Net: make one of it"),
    ("exclude", None, "exclude must be texts"),
    ("exclude", [3], "exclude must be texts"),
    ("exclude", "no.such.layer", ""),
    ("name", 3, "name must be text"),
    ("name", "", "name must be text"),
    ("finetune", {"lr": 1}, "finetune must be a rankfront.FineTune"),
    ("finetune", FineTune, "got the class FineTune"),
    ("calibration", "many", "calibration must be a whole number"),
    ("calibration", 3, "calibration must be 16 or more, but got 3 samples"),
    ("calibration", True, "calibration must be a whole number"),
    ("kinds", "svdd", "kinds must be some of svd"),
    ("kinds", [3], "kinds must be texts"),
    ("kinds", [], "kinds must be some of svd"),
    ("whiten", "yes", "whiten must be True or False"),
    ("refit", 1, 'refit must be "layer", "block", "network" or None'),
    ("refit", "blocks", 'refit must be "layer", "block", "network" or None'),
    ("sensitivity", "fischer", "sensitivity must be one of auto, outputs, fisher, none"),
    ("int8", None, "int8 must be True or False"),
    ("trials", "ten", "trials must be a whole number"),
    ("trials", 0, "trials must be 1 or more"),
    ("budget", 0.3, "budget must be texts such as 'params=5%'"),
    ("collate", 3, "collate must be a function"),
    ("batch_dim", "first", "batch_dim must be a whole number"),
    ("batch_dim", 2, "batch_dim must be from 0 to 1"),
    ("trian", DATA, "Task takes no argument 'trian': did you mean train?"),
]
OPTIONS: list[tuple[str, Any, str]] = [
    ("trials", "ten", "trials must be a whole number"),
    ("trials", 2.5, "trials must be a whole number"),
    ("trials", 0, "trials must be 1 or more"),
    ("budget", 0.3, "budget must be text such as params=5%"),
    ("budget", "params", "budget must read METRIC=AMOUNT"),
    ("budget", {"params": 5}, "budget must be text"),
    ("budget", "speed=2ms", "budget must be on one of params"),
    ("budget", "latency@tensorrt=2ms", "engine must be one of eager"),
    ("engine", 3, "engine must be one of eager"),
    ("engine", "tensorrt", "engine must be one of eager"),
    ("engine_batch_size", 0, "engine_batch_size must be 1 or more"),
    ("engine_threads", "all", "engine_threads must be a whole number"),
    ("device", 3, "device must be auto, cpu or cuda"),
    ("device", "cuda:7", "device must be auto, cpu or cuda"),
    ("device", torch.device("meta"), "device must be auto, cpu or cuda"),
    ("objectives", 3, "objectives must be texts"),
    ("objectives", "speed", "objectives must be accuracy and any of"),
    ("timeout", "soon", "timeout must be a duration"),
    ("timeout", -1, "timeout must be a duration"),
    ("timeout", [1], "timeout must be a duration"),
    ("out", 3, "out must be a path"),
    ("out", "", "out must be a path"),
    ("sampler", "best", "sampler must be one of"),
    ("sampler", 3, "sampler must be one of"),
    ("seed", -1, "seed must be from 0"),
    ("seed", "x", "seed must be a whole number"),
    ("storage", 3, "storage must be a database URL"),
    ("storage", "study.db", "storage must be a database URL"),
    ("progress", "yes", "progress must be True or False"),
    ("source", "mine.py", "source is what the command line passes"),
    ("epochs", 3, "run takes no argument 'epochs'"),
]
FINE_TUNES: list[tuple[str, Any, str]] = [
    ("epochs", -1, "epochs must be 0 or more"),
    ("epochs", 1.5, "epochs must be a whole number"),
    ("steps", "all", "steps must be a whole number"),
    ("lr", 0, "lr must be positive"),
    ("lr", float("nan"), "lr must be a number, positive"),
    ("lr", "1e-3", "lr must be a number, positive"),
    ("lr", torch.tensor(1e-3), "lr must be a number, positive"),
    ("batch_size", 0, "batch_size must be 1 or more"),
    ("optimizer", "adam", "optimizer must be adamw or sgd"),
    ("optimizer", torch.optim.AdamW, "got the class AdamW"),
    ("weight_decay", -1, "weight_decay must be 0 or more"),
    ("momentum", 1, "momentum must be at least 0 and below 1"),
    ("warmup", 1, "warmup must be at least 0 and below 1"),
    ("distill", 1.1, "distill must be from 0 to 1"),
    ("temperature", 0, "temperature must be positive"),
    ("clip", None, "clip must be a number"),
    ("learning_rate", 1, "FineTune takes no argument 'learning_rate'"),
]


@pytest.mark.parametrize(("wrong", "said"), MODELS)
def test_a_model_that_is_none(wrong: Any, said: str) -> None:
    assert said in refused(lambda: task(model=wrong))


@pytest.mark.parametrize(("wrong", "said"), MODELS)
def test_an_architecture_that_is_none(tmp_path: Path, wrong: Any, said: str) -> None:
    refused(lambda: rankfront.load(tmp_path, wrong))
    if wrong is not None:
        (tmp_path / "study.db").touch()
        assert said.partition(":")[0].partition(",")[0][-10:] in refused(lambda: Result.open(tmp_path, model=wrong))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(("wrong", "said"), SPLITS, ids=lambda value: None)
def test_a_split_that_is_none(split: str, wrong: Any, said: str) -> None:
    text = refused(lambda: task(**{split: wrong}))
    assert text.startswith(f"{split} ") and said in text


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_that_is_missing(split: str) -> None:
    assert refused(lambda: task(**{split: None})) == (
        f"{split} data must be a pair of tensors (inputs, targets), a Dataset, a DataLoader or a loop over batches, "
        "but got None: give the samples"
    )


@pytest.mark.parametrize(("field", "wrong", "said"), FIELDS)
def test_a_field_of_a_task(field: str, wrong: Any, said: str) -> None:
    if said:
        assert said in refused(lambda: task(**{field: wrong}))


def test_the_loss_is_no_score() -> None:
    def measure(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    said = refused(lambda: task(loss=measure, score=measure))
    assert said.startswith("score must be higher where a network is better, but function") and "is the loss" in said


def my_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Of a sign of its own."""
    return -nn.functional.cross_entropy(outputs, targets)


class OwnLoss(nn.modules.loss._Loss):
    """Of a sign of its own."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return my_loss(outputs, targets)


@pytest.mark.parametrize(
    "score",
    [
        my_loss,
        OwnLoss(),
        nn.functional.cosine_similarity,
        torchmetrics.functional.mean_absolute_error,
        lambda y, x: 1.0,
        lambda *given, y_true=None, y_pred=None: 1.0,
    ],
)
def test_a_function_is_no_error_by_its_name(score: Any) -> None:
    assert task(score=score).score.scale.higher_is_better


def test_a_metric_may_be_loss_and_score() -> None:
    metric = torchmetrics.MeanSquaredError()
    assert not task(loss=metric, score=metric).score.scale.higher_is_better


def test_names_with_spaces_around_them() -> None:
    assert task(kinds="tt, svd ").kinds == task(kinds=("tt", "svd")).kinds


@pytest.mark.parametrize(("field", "wrong", "said"), FINE_TUNES)
def test_a_field_of_a_fine_tune(field: str, wrong: Any, said: str) -> None:
    assert said in refused(lambda: FineTune(**{field: wrong}))


@pytest.mark.parametrize(("option", "wrong", "said"), OPTIONS)
def test_an_option_of_run(tmp_path: Path, option: str, wrong: Any, said: str) -> None:
    assert said in refused(lambda: rankfront.run(task(), **{"out": tmp_path / "out", "progress": False, option: wrong}))
    assert not (tmp_path / "out").exists()


SHARED = [known for known in OPTIONS if known[0] in ("budget", "device", "storage", "progress", "out")]


@pytest.mark.parametrize("name", ["finish", "verify"])
@pytest.mark.parametrize(("option", "wrong", "said"), SHARED)
def test_an_option_of_finish_and_verify(tmp_path: Path, name: str, option: str, wrong: Any, said: str) -> None:
    given = {"out": tmp_path, "progress": False, **({"epochs": 1} if name == "finish" else {}), option: wrong}
    text = refused(lambda: getattr(rankfront, name)(task(), **given))
    assert said in text or (name == "verify" and "verify takes no argument" in text)


@pytest.mark.parametrize("name", ["run", "finish", "verify"])
@pytest.mark.parametrize("wrong", [perceptron(), Task, None, "task.py", {"model": 3}], ids=lambda value: None)
def test_what_is_no_task(tmp_path: Path, name: str, wrong: Any) -> None:
    given = {"out": tmp_path, **({"epochs": 1} if name == "finish" else {})}
    assert "task must be a rankfront.Task" in refused(lambda: getattr(rankfront, name)(wrong, **given))


@pytest.mark.parametrize("call", [rankfront.run, rankfront.finish, rankfront.verify, rankfront.load, Task])
def test_nothing_given(call: Callable[[], object]) -> None:
    assert "missing a required argument" in refused(call)


@pytest.mark.parametrize("wrong", [3, None, b"", [1], "nowhere/at/all"])
def test_a_folder_that_is_none(wrong: Any) -> None:
    refused(lambda: Result.open(wrong))
    refused(lambda: rankfront.load(wrong, perceptron()))
