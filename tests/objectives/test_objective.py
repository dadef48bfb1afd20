"""Kinds that replace a module."""

import copy
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront import DENSE, Choice, FineTune, Plan, RankfrontError, Task
from rankfront.objectives.errors import TrialError
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.metrics.evaluation import Evaluation
from rankfront.objectives.metrics.registry import measure
from rankfront.objectives.objective import Objective
from tests.conftest import dry_run, perceptron
from tests.objectives.preparing import CPU, PLAN, prepared

MODULE_KINDS = [name for name in KINDS if name != "stored"]


def test_same_plan_and_seed_give_the_same_outcome(task: Task) -> None:
    first, second = (prepared(task)(PLAN, seed=5) for _ in range(2))
    assert first.score == second.score and first.metrics == second.metrics
    second_state = second.model.state_dict()
    assert all(torch.equal(value, second_state[name]) for name, value in first.model.state_dict().items())


def test_metrics_are_those_of_the_model_and_as_predicted(task: Task) -> None:
    objective = prepared(task)
    outcome = objective(PLAN, seed=0)
    assert outcome.metrics == measure(outcome.model, objective.example) == objective.costs.of(PLAN)
    assert objective.score(outcome.model) == outcome.score


def test_the_dense_model_and_the_global_seed_stay_as_they_were(task: Task, dense: nn.Module) -> None:
    before = {name: value.clone() for name, value in dense.state_dict().items()}
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    prepared(task)(PLAN, seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in dense.state_dict().items())


def test_all_dense_without_training_is_the_dense_model(task: Task) -> None:
    objective = prepared(task)
    outcome = objective(Plan(dict.fromkeys(objective.by_name, DENSE)), 0, finetune_by=FineTune(epochs=0))
    assert outcome.score == objective.score(objective.dense)
    assert outcome.metrics == objective.costs.dense


def test_decompositions_are_read_from_the_cache(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = prepared(task, tmp_path)(PLAN, 0).score
    monkeypatch.setattr("rankfront.objectives.kinds.svd.Svd.decompose", None)
    assert prepared(task, tmp_path)(PLAN, 0).score == score


@pytest.mark.parametrize("damage", [lambda b: b[:40], lambda b: b"", lambda b: b[:-4] + b"abcd"[:0]])
def test_a_damaged_cache_is_rebuilt(task: Task, tmp_path: Path, damage: Any) -> None:
    score = prepared(task, tmp_path)(PLAN, 0).score
    for path in tmp_path.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    assert prepared(task, tmp_path)(PLAN, 0).score == score


def test_another_models_cache_is_not_used(task: Task, tmp_path: Path) -> None:
    prepared(task, tmp_path)
    other = replace(task, model=perceptron(seed=3))
    assert prepared(other, tmp_path)(PLAN, 0).score == prepared(other)(PLAN, 0).score


def test_nothing_to_factorize() -> None:
    with pytest.raises(
        RankfrontError, match=r"must have a Linear or convolution .*1 depthwise convolution, .*\(0: each channel"
    ):
        Objective(
            Task(nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)), *[(torch.zeros(2, 4, 5, 5), torch.zeros(2))] * 2),
            device=CPU,
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_runs_on_cuda(task: Task) -> None:
    objective = Objective(task, device=torch.device("cuda"))
    objective.prepare()
    outcome = objective(PLAN, 0)
    assert outcome.metrics == objective.costs.of(PLAN)
    assert next(outcome.model.parameters()).device.type == "cpu"


def test_refit_is_kept_only_where_held_out_data_likes_it(task: Task) -> None:
    plan, untrained = Plan(dict.fromkeys(PLAN, Choice("svd", 2))), FineTune(epochs=0)
    distances = []
    for refit in (False, True):
        objective = prepared(replace(task, refit=refit, whiten=False))
        distances.append(objective._start().distance(objective(plan, 0, finetune_by=untrained).model))
    assert distances[1] < distances[0]


@pytest.mark.parametrize("kind", ["svd", "svd-identity"])
def test_a_refit_that_hurts_is_undone(task: Task, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def ruin(model: nn.Module, *_: object) -> None:
        for parameter in model.parameters():
            parameter.data.add_(10.0)

    plan, untrained = Plan(dict.fromkeys(PLAN, Choice(kind, 2))), FineTune(epochs=0)
    plain = prepared(replace(task, refit=False))(plan, 0, finetune_by=untrained)
    monkeypatch.setattr("rankfront.objectives.start.refit", ruin)
    kept = prepared(task)(plan, 0, finetune_by=untrained)
    for ours, theirs in zip(kept.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_channels_last_as_on_cuda(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout that convolutions have on a GPU, on the CPU: views of weights must not be taken for granted."""
    monkeypatch.setattr(
        "rankfront.objectives.objective.to_device", lambda model, _: model.to(memory_format=torch.channels_last)
    )
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.Flatten(1))
    x, y = torch.randn(64, 3, 5, 5), torch.randint(5, (64,))
    whole = nn.Sequential(dense, nn.Linear(300, 5))
    objective = prepared(
        Task(whole, (x, y), (x, y), kinds=(kind,), calibration=48, finetune=FineTune(epochs=1, batch_size=32))
    )
    plan = Plan({name: options[len(options) // 2] for name, options in objective.decompositions.options.items()})
    outcome = objective(plan, 0)
    assert outcome.metrics == objective.costs.of(plan)


def test_what_is_frozen_stays_frozen(dense: nn.Module, task: Task) -> None:
    frozen = copy.deepcopy(dense)
    frozen[0].requires_grad_(False)
    model = prepared(replace(task, model=frozen)).factorize(Plan({"0": Choice("svd", 2), "2": Choice("svd", 2)}))
    assert not any(p.requires_grad for p in model[0].parameters())
    assert all(p.requires_grad for p in model[2].parameters())


@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_a_model_that_is_frozen_altogether_is_not_fine_tuned_and_says_so(kind: str) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4)
    )
    x, y = torch.randn(64, 3, 6, 6), torch.arange(64) % 4
    task = Task(model, (x, y), (x, y), kinds=(kind,), calibration=48, finetune=FineTune(epochs=2))
    assert any(p.requires_grad for p in prepared(task).dense.parameters())
    objective = prepared(replace(task, model=copy.deepcopy(model).requires_grad_(False)))
    assert not any(p.requires_grad for p in objective.dense.parameters())
    plan = Plan({name: options[0] for name, options in objective.decompositions.options.items()})
    outcome = objective(plan, 0)
    assert outcome.score == objective(plan, 0, finetune_by=FineTune(epochs=0)).score
    assert outcome.notes == ("every parameter is frozen (requires_grad is False): there is nothing to fine-tune",)
    assert not any(parameter.requires_grad for parameter in outcome.model.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calibration": 1}, "calibration must be 16 or more, but got 1"),
        ({"calibration": 30.5}, "calibration must be a whole number, 16 or more, but got 30.5"),
        ({"kinds": "svd,tucker"}, "kinds must be some of svd, .*, tt, stored, but got 'tucker'"),
        ({"kinds": ("dense",)}, "kinds must be some of svd, .*, tt, stored, but got 'dense'"),
        (
            {"train": (torch.zeros(40, 7), torch.zeros(40, dtype=torch.long))},
            "must accept a sample of the training data",
        ),
        (
            {"validation": (torch.zeros(40, 7), torch.zeros(40, dtype=torch.long))},
            "accept a batch of 8 samples of the validation data",
        ),
        ({"train": (torch.zeros(40, 12), torch.arange(40) % 5)}, "classes from 0 to 3, .* but go from 0 to 4"),
        ({"train": (torch.full((40, 12), torch.nan), torch.arange(40) % 4)}, "finite outputs on the training data"),
    ],
)
def test_what_cannot_be_is_said_with_the_rule(task: Task, change: dict[str, Any], said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        dry_run(replace(task, **change))


def test_the_untrained_score_is_that_of_the_network_that_is_trained(task: Task) -> None:
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    plan = Plan(dict.fromkeys(PLAN, Choice("svd", 2)))
    assert (
        objective(plan, 0).score_before_finetuning
        == objective.score_before_finetuning(plan)
        == objective(plan, 0, finetune_by=FineTune(0)).score
    )


def test_of_all_validations_the_best_alone_is_kept(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[Evaluation]] = []
    most = 0
    plain = Objective.scored

    def scored(self: Objective, model: nn.Module, split: str = "validation") -> Evaluation:
        nonlocal most
        found = plain(self, model, split)
        alive.append(weakref.ref(found))
        most = max(most, sum(ref() is not None for ref in alive))
        return found

    objective = prepared(task)
    expected = objective(PLAN, 0, finetune_by=FineTune(epochs=6))
    monkeypatch.setattr(Objective, "scored", scored)
    outcome = objective(PLAN, 0, finetune_by=FineTune(epochs=6))
    assert len(alive) == 7 and most <= 3
    assert (outcome.score, outcome.interval) == (expected.score, expected.interval)
    assert outcome.interval == objective.task.score.scale.interval(outcome.score, len(objective.task.validation))


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_network_of_nan_is_no_trial(task: Task, epochs: int) -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = perceptron()
            self.breaks = False

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) * (torch.nan if self.breaks else 1)

    objective = prepared(replace(task, model=Broken()))
    objective.dense.breaks = True
    plan = Plan({name: Choice("svd", 2) if name == "net.0" else DENSE for name in objective.by_name})
    with pytest.raises(TrialError, match="NaN"):
        objective(plan, 0, finetune_by=FineTune(epochs=epochs))
