"""The losses and scores of a task, those of its own among them; what cannot be trained on or scored is told."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront import Choice, FineTune, Plan, RankfrontError, Score, Task
from rankfront.objectives.objective import Objective
from rankfront.objectives.training.distillation import SoftTargets, distillation_loss
from tests.conftest import blobs, dry_run, perceptron
from tests.objectives.preparing import PLAN, prepared


def test_a_regression_with_a_loss_and_a_score_of_its_own() -> None:
    x = torch.randn(300, 12, generator=torch.Generator().manual_seed(0))
    y = x[:, :2] @ torch.tensor([[1.0, 2.0], [0.5, -1.0]])

    def r2(outputs: Tensor, targets: Tensor) -> float:
        return 1 - float((outputs - targets).square().sum() / (targets - targets.mean(0)).square().sum())

    task = Task(
        perceptron(classes=2),
        (x[:200], y[:200]),
        (x[200:], y[200:]),
        loss=nn.functional.mse_loss,
        score=r2,
        finetune=FineTune(epochs=30, lr=1e-2, batch_size=50, distill=0.0),
    )
    assert task.score.scale.name == "score"
    assert prepared(task)(PLAN, 0).score > 0.8


def test_distillation_moves_towards_the_dense_model(task: Task) -> None:
    # Labels that say nothing: only the soft targets can teach, and validation cannot prefer any epoch.
    x, y, nothing = task.train.source[0], blobs(400, 99)[1], lambda outputs, targets: 0.0
    taught = replace(
        task, train=(x, y), score=nothing, finetune=FineTune(epochs=8, lr=1e-2, batch_size=50, distill=1.0)
    )
    objective, plan = prepared(taught), Plan(dict.fromkeys(PLAN, Choice("svd", 2)))
    before = objective._start().distance(objective.factorize(plan))
    assert objective._start().distance(objective(plan, 0).model) < 0.5 * before


def test_soft_targets_are_the_dense_models_outputs(task: Task, dense: nn.Module) -> None:
    kept = SoftTargets(dense, task.train, 128)
    for batch in task.train.batches(64, shuffle=torch.Generator().manual_seed(0)):
        torch.testing.assert_close(kept.of(batch), dense(batch.inputs).detach())


def test_distillation_loss_is_a_divergence() -> None:
    a, b = torch.randn(6, 5), torch.randn(6, 5)
    p, q = (t.div(3.0).softmax(1) for t in (b, a))
    expected = float((p * (p / q).log()).sum(1).mean()) * 9
    assert float(distillation_loss(a, b, classes=True, temperature=3.0)) == pytest.approx(expected, rel=1e-4)
    assert float(distillation_loss(a, a, classes=True, temperature=3.0)) == pytest.approx(0, abs=1e-6)


def test_a_model_with_dict_outputs_and_its_own_loss_and_score() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = perceptron()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.body(x), "twice": 2 * self.body(x)}

    task = Task(
        Two(),
        blobs(200, 1),
        blobs(100, 2),
        loss=lambda outputs, targets: nn.functional.cross_entropy(outputs["logits"], targets),
        score=lambda outputs, targets: (outputs["logits"].argmax(1) == targets).float().mean(),
        calibration=100,
    )
    objective = prepared(task)
    assert objective(Plan({name: Choice("svd", 2) for name in objective.by_name}), 0).score > 0


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (torch.randn(200), "the loss must accept the model's outputs"),
        (torch.full((200,), 4), "targets must be classes from 0 to 3, .* but go from 4 to 4"),
        (torch.randn(200, 4), "accuracy needs outputs"),
    ],
    ids=["floats", "labels out of range", "several a sample"],
)
def test_targets_that_do_not_fit_are_told_before_anything_is_done(targets: Tensor, said: str) -> None:
    data = (blobs(200, 1)[0], targets)
    with pytest.raises(RankfrontError, match=said):
        dry_run(Task(perceptron(), data, data))


def test_the_fine_tune_asked_for_decides_about_distillation(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = prepared(task)
    monkeypatch.setattr(SoftTargets, "of", lambda self, batch: 1 / 0)
    objective(PLAN, 0, finetune_by=FineTune(epochs=1, distill=0.0))
    with pytest.raises(ZeroDivisionError):
        objective(PLAN, 0, finetune_by=FineTune(epochs=1, distill=0.5))


def test_what_classifies(task: Task) -> None:
    losses = [None, nn.MSELoss(), nn.L1Loss(), nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)]
    assert [replace(task, loss=loss).criterion.is_cross_entropy for loss in losses] == [True, False, False, True, True]


@pytest.mark.parametrize("score", [lambda outputs, targets: float("nan"), lambda outputs, targets: 1 // 0])
def test_where_there_is_no_untrained_score_it_is_none(task: Task, score: Any) -> None:
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    objective.task = replace(task, score=score)
    assert objective.score_before_finetuning(Plan(dict.fromkeys(PLAN, Choice("svd", 2)))) is None


def of_all_classes(outputs: Tensor, targets: Tensor) -> float:
    if len(targets) < 200:
        raise ValueError("too few samples")
    return 0.5


def of_words(outputs: Tensor, targets: Tensor) -> str:
    return "good"


def of_wrong_shapes(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).mean()


def of_no_number(outputs: Tensor, targets: Tensor) -> float:
    return math.nan


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (of_words, "a score must be one number, but got 'good'"),
        (of_wrong_shapes, "the score must accept the model's outputs .*, but: RuntimeError: The size"),
        (of_no_number, "a score must be a finite number, but got nan"),
        (lambda outputs: 0.5, "the score must accept .*, but: TypeError: .* takes 1 positional argument"),
        (Score.of_split(of_wrong_shapes, "error", higher_is_better=False), "the score must accept"),
    ],
)
def test_a_score_that_cannot_be_computed_is_told_before_anything_is_done(task: Task, score: Any, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        dry_run(replace(task, score=score))


def test_a_score_that_fails_on_few_samples_only_is_taken(task: Task) -> None:
    assert not dry_run(replace(task, score=of_all_classes))


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda outputs, targets: nn.functional.cross_entropy(outputs, targets).item(), "but gave a float"),
        (lambda outputs, targets: torch.tensor(1.0), "must have a gradient with respect to the model's outputs"),
        (lambda outputs, targets: nn.functional.cross_entropy(outputs.detach(), targets), "must have a gradient"),
        (nn.CrossEntropyLoss(reduction="none"), r"return one number as a tensor.* but gave a tensor \(8,\)"),
    ],
)
def test_a_loss_that_cannot_be_trained_on_is_refused_at_once(task: Task, loss: Any, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        dry_run(replace(task, loss=loss))
