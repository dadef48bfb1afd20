"""The true loss: torch's own, the user's, the model's."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from rankfront import Choice, FineTune, Plan, RankfrontError, Score, Task
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.model.outputs import class_dimension, own_loss
from rankfront.objectives.objective import Objective
from rankfront.objectives.training.criterion import Criterion
from tests.conftest import blobs, dry_run, perceptron

CPU = torch.device("cpu")


def run(task: Task) -> tuple[Objective, Any]:
    objective = Objective(task, device=CPU)
    objective.prepare()
    return objective, objective(Plan({name: Choice("svd", 2) for name in list(objective.by_name)[:1]}), 0)


class Labelled(nn.Module):
    """As Hugging Face's: a loss where labels are given, else none."""

    def __init__(self, style: str = "dict") -> None:
        super().__init__()
        self.body, self.style, self.labelled = perceptron(), style, 0

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        logits = self.body(x)
        loss = None if labels is None else functional.cross_entropy(logits, labels)
        self.labelled += labels is not None
        if self.style == "tuple":
            return (logits,) if loss is None else (loss, logits)
        return OrderedDict(loss=loss, logits=logits) if self.style == "dict" else loss if loss is not None else logits


@pytest.mark.parametrize("style", ["dict", "tuple", "the loss alone"])
@pytest.mark.parametrize("distill", [0.0, 0.7])
def test_the_models_own_loss_trains_as_the_same_loss_given(style: str, distill: float) -> None:
    x, y = blobs(150, 1)
    data = {"train": (x, y), "validation": blobs(100, 2), "calibration": 64}
    finetune = FineTune(batch_size=50, distill=distill)
    _, own = run(Task(Labelled(style), **data, loss="model", finetune=finetune))
    _, given = run(Task(perceptron(), **data, finetune=finetune))
    if style == "the loss alone" and distill:
        return  # nothing to compare with the dense model: trained on its loss alone
    assert own.score == given.score
    theirs = given.model.state_dict()
    for name, value in own.model.body.state_dict().items():
        torch.testing.assert_close(value, theirs[name])


def test_only_training_gives_the_model_labels() -> None:
    objective, outcome = run(Task(Labelled(), blobs(150, 1), blobs(100, 2), calibration=64, loss="model"))
    before = outcome.model.labelled
    objective.score(outcome.model)
    objective._start().distance(outcome.model)
    objective.soft.of(next(iter(objective.task.train.batches(10))))
    assert outcome.model.labelled == before and objective.dense.labelled == 0


class Mapping(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 96

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        x, y = blobs(96, 1)
        return {"x": x[i], "labels": y[i]}


def test_batches_that_are_mappings_with_labels() -> None:
    data = DataLoader(Mapping(), 32)
    _, outcome = run(Task(Labelled(), data, data, calibration=64, loss="model"))
    assert outcome.model.labelled and 0 <= outcome.score <= 1


class Detector(nn.Module):
    """As torchvision's: losses in training, lists of boxes in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron()

    def forward(self, images: Tensor, targets: Any = None) -> Any:
        logits = self.body(images)
        if self.training:
            assert targets is not None
            return {"classifier": functional.cross_entropy(logits, targets), "boxes": logits.square().mean()}
        return [{"scores": row[: 1 + i % 3]} for i, row in enumerate(logits)]


def test_a_detection_model_is_trained_on_the_sum_of_its_losses() -> None:
    score = Score.of_mean(lambda outputs, targets: torch.stack([one["scores"].max() for one in outputs]), "top")
    task = Task(Detector(), blobs(150, 1), blobs(100, 2), calibration=64, loss="model", score=score)
    objective, outcome = run(task)
    assert outcome.score_before_finetuning is not None
    batch = next(iter(task.train.batches(20)))
    losses = outcome.model.train()(batch.inputs, batch.targets)
    assert torch.equal(own_loss(losses), sum(losses.values()))
    with pytest.raises(RankfrontError, match=r"distillation alone needs outputs that .* set finetune distill below 1"):
        objective.finetuned(objective.factorize(Plan({})), FineTune(distill=1.0, batch_size=50), 0)


def test_a_model_without_a_loss_is_told() -> None:
    with pytest.raises(
        RankfrontError, match=r'loss="model" needs a model that returns its loss, .* gave \(8, 4\): its'
    ):
        dry_run(Task(perceptron(), blobs(50, 1), blobs(50, 2), loss="model"))


def test_a_word_that_is_no_loss() -> None:
    with pytest.raises(RankfrontError, match=r'loss must be .*loss\(outputs, targets\), or "model".* but got'):
        Task(perceptron(), blobs(50, 1), blobs(50, 2), loss="mse")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"loss": torch.tensor(2.0), "logits": torch.zeros(3)}, 2.0),
        ({"loss": None, "logits": torch.zeros(3)}, None),
        ((torch.tensor(3.0), torch.zeros(3)), 3.0),
        ((torch.zeros(3), torch.tensor(3.0)), None),
        ({"a": torch.tensor(1.0), "b": torch.tensor([2.0])}, 3.0),
        ({"a": torch.tensor(1.0), "b": torch.zeros(2)}, None),
        (torch.tensor(4.0), 4.0),
        (torch.zeros(4), None),
        ({}, None),
    ],
)
def test_where_a_models_loss_stands(outputs: Any, expected: float | None) -> None:
    found = own_loss(outputs)
    assert (found is None) if expected is None else float(found) == expected  # pyright: ignore[reportArgumentType]


SHAPES: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [
    ((8, 5), (8,), 1),
    ((8, 5, 7), (8, 7), 1),
    ((8, 7, 5), (8, 7), 2),
    ((7, 8, 5), (7, 8), 2),  # sequence first
    ((8, 5, 3, 4), (8, 3, 4), 1),
    ((8, 3, 4, 5), (8, 3, 4), 3),
    ((8, 5, 3, 4), (8, 12, 16), 1),  # a segmentation at a lower resolution
]


@pytest.mark.parametrize(("outputs", "targets", "expected"), SHAPES)
def test_the_dimension_of_classes(outputs: tuple[int, ...], targets: tuple[int, ...], expected: int) -> None:
    logits, labels = torch.randn(outputs), torch.zeros(targets, dtype=torch.long)
    for form in (logits, {"logits": logits}, (logits, None)):
        assert class_dimension(form, labels) == expected
    if logits.movedim(expected, -1).shape[:-1] == labels.shape:
        expected_loss = functional.cross_entropy(logits.movedim(expected, 1), labels)
        torch.testing.assert_close(Criterion()({"logits": logits}, labels), expected_loss)


def test_a_tie_goes_to_the_last_dimension_of_huggingface_logits() -> None:
    logits, labels = torch.randn(8, 5, 5), torch.zeros(8, 5, dtype=torch.long)
    assert class_dimension({"logits": logits}, labels) == 2
    assert class_dimension(logits, labels) == 1


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (torch.zeros(8, dtype=torch.long), True),
        (torch.zeros(8), False),
        (torch.zeros(8, 5), False),
        (torch.zeros(8, 5, dtype=torch.long), False),
        ({"boxes": torch.zeros(8)}, False),
    ],
)
def test_a_models_own_loss_classifies_where_labels_are_classes(labels: Any, expected: bool) -> None:
    assert Criterion("model").classifies({"logits": torch.zeros(8, 5)}, labels) == expected
    assert not Criterion("model").classifies({"logits": torch.zeros(8, 1)}, torch.zeros(8, dtype=torch.long))


def test_targets_go_where_forward_takes_them() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor, start_positions: Any = None, end_positions: Any = None) -> Any:
            return x, start_positions, end_positions

    batch = Batch(torch.zeros(2, 3), {"start_positions": torch.ones(2), "end_positions": torch.zeros(2)})
    _, start, end = Criterion("model").forward(Net(), batch)
    assert torch.equal(start, torch.ones(2)) and torch.equal(end, torch.zeros(2))
    assert Criterion().forward(Net(), batch)[1:] == (None, None)


LOSSES: dict[str, Any] = {
    "a partial function": partial(functional.cross_entropy, ignore_index=0),
    "a partial of a partial": partial(partial(functional.cross_entropy, label_smoothing=0.1), ignore_index=0),
    "a module": nn.CrossEntropyLoss(ignore_index=0),
    "a partial of a module": partial(nn.CrossEntropyLoss(ignore_index=0)),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_ignored_class_is_honoured_however_the_loss_is_given(loss: Any) -> None:
    x, y = blobs(60, 1)
    task = Task(perceptron(), (x, y), (x, y), loss=loss)
    criterion = task.criterion
    assert criterion.is_cross_entropy and criterion.ignored == 0
    outputs = OrderedDict(logits=task.model(x), other=x)
    torch.testing.assert_close(criterion(outputs, y.int()), loss(outputs["logits"], y))
    assert task.score.measured([(outputs, y)]).counted == int((y != 0).sum())


def test_a_partial_of_the_users_own_loss_gets_outputs_as_they_are() -> None:
    def own(outputs: Any, targets: Tensor, weight: float) -> Tensor:
        return weight * outputs["logits"].sum()

    criterion = Criterion(partial(own, weight=2.0))
    assert not criterion.is_cross_entropy and criterion.ignored == -100
    assert criterion({"logits": torch.ones(3)}, torch.zeros(3)) == 6


class Passing(nn.Module):
    """Passes on whatever it is called with, as wrappers do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


@pytest.mark.parametrize("targets", [lambda y: y, lambda y: {"labels": y}], ids=["a tensor", "a mapping"])
def test_labels_pass_through_keywords(targets: Any) -> None:
    x, y = blobs(20, 1)
    model, criterion = Passing(Labelled()), Criterion("model")
    loss = criterion(criterion.forward(model, Batch(x, targets(y))), y)
    torch.testing.assert_close(loss, functional.cross_entropy(model.inner.body(x), y))  # pyright: ignore


class Weighted(nn.Module):
    """A loss with weights of classes, that counts how often it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(4))
        self.register_buffer("called", torch.zeros((), dtype=torch.long))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.called += 1
        return functional.cross_entropy(outputs, targets, self.weights) + 0 * self.called


def test_a_loss_of_the_users_is_never_moved() -> None:
    outputs, targets = torch.randn(6, 4), torch.arange(6) % 4
    given = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    loss = nn.CrossEntropyLoss(given)
    criterion = Criterion(loss)
    for dtype in (torch.float32, torch.float64):
        expected = nn.CrossEntropyLoss(given.to(dtype))(outputs.to(dtype), targets)
        assert torch.equal(criterion(outputs.to(dtype), targets), expected)
    assert loss.weight is given and given.dtype == torch.float64


def test_a_loss_elsewhere_is_copied_once_and_one_in_place_not_at_all() -> None:
    outputs, targets = torch.randn(6, 4), torch.arange(6) % 4
    here, elsewhere = Weighted(), Weighted().to("meta")
    for _ in range(3):
        Criterion(here)(outputs, targets)
    assert here.called == 3
    criterion = Criterion(elsewhere)
    for _ in range(2):
        assert criterion(outputs.to("meta"), targets.to("meta")).device.type == "meta"
    assert not criterion._copies
    criterion = Criterion(here)
    for _ in range(2):
        criterion(outputs.to("meta"), targets.to("meta"))
    assert len(criterion._copies) == 1 and here.weights.device.type == "cpu" and here.called == 3
