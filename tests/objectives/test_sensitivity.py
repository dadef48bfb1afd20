"""Errors of all layers in one unit: which changes of the outputs count, and what is done where it cannot be known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rankfront import DENSE, Choice, Plan, RankfrontError, Task
from rankfront.search.space.candidates import Candidates
from tests.conftest import blobs
from tests.objectives.preparing import prepared


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))


class Deaf(Net):
    """A layer of which the outputs take nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(self.a(x)) + 0 * self.b(torch.relu(self.a(x))))


class Infinite(Net):
    """The square root's slope at 0 is infinite."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.a(x))
        return self.c(hidden) + torch.sqrt(0 * self.b(hidden.detach())).sum(1, keepdim=True)


class Inference(Net):
    """Trained otherwise than it is evaluated: in eval mode nothing has a gradient."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        with torch.no_grad():
            return super().forward(x)


def task_of(net: type[nn.Module] = Net, **fields: Any) -> Task:
    fields = {"calibration": 128, "kinds": ("svd", "tt"), "train": blobs(200, 1), **fields}
    return Task(net().eval(), validation=blobs(100, 2), name="t", **fields)


def test_errors_of_layers_are_shares_of_one_whole() -> None:
    objective = prepared(task_of())
    importance = objective.decompositions.importance
    assert sum(importance.values()) == pytest.approx(len(importance))
    assert len(set(importance.values())) == len(importance)
    assert objective.notes == []
    assert prepared(task_of(sensitivity="none")).decompositions.importance == dict.fromkeys("abc", 1.0)


def test_candidates_have_errors_in_one_unit() -> None:
    objective = prepared(task_of())
    candidates = Candidates.of(objective)
    for row, name in enumerate(candidates.names):
        for place, option in enumerate(candidates.options[row]):
            relative = np.array(objective.decompositions.error(objective.by_name[name], option))
            counted = relative / max(1 - float(relative), 0.01)
            expected = objective.decompositions.importance_at(name, relative) * counted
            assert candidates.errors[row, place] == pytest.approx(float(expected))


@torch.no_grad()
def test_the_predicted_change_is_the_measured_one_where_it_is_small() -> None:
    """To first order, a layer by itself: predicted in the unit of the candidates, measured on the centred logits."""
    task = task_of(kinds=("svd",), calibration=2000, train=blobs(2600, 1))
    objective = prepared(task)
    x, _ = blobs(2600, 1)
    dense = objective.dense(x)
    ratios = []
    for name in "ab":
        layer = objective.by_name[name]
        for rank in (10, 11):
            plan = Plan({**dict.fromkeys(objective.by_name, DENSE), name: Choice("svd", rank)})
            change = objective.factorize(plan)(x) - dense
            change = change - change.mean(1, keepdim=True)
            predicted = objective.decompositions.importance[name] * objective.decompositions.error(layer, plan[name])
            ratios.append(float(change.square().sum(1).mean()) / predicted)
    assert max(ratios) / min(ratios) < 2.5


def test_a_cached_study_has_the_same_errors(tmp_path: Path) -> None:
    first, second = (prepared(task_of(), tmp_path).decompositions.importance for _ in range(2))
    assert first == second
    assert prepared(task_of(sensitivity="none"), tmp_path).decompositions.importance == dict.fromkeys("abc", 1.0)


def test_another_function_of_the_same_name_is_not_taken_for_the_one_in_the_cache(tmp_path: Path) -> None:
    found = [
        prepared(task_of(sensitivity=lambda o, at=at: (o[:, at] * torch.randn(len(o))).sum()), tmp_path)
        for at in (0, 1, 0)
    ]
    first, other, again = (objective.decompositions.importance for objective in found)
    assert first == again != other


def test_a_function_of_the_outputs() -> None:
    def first_class(outputs: Tensor) -> Tensor:
        return (outputs[:, 0] * torch.randn(len(outputs))).sum()

    objective = prepared(task_of(sensitivity=first_class))
    assert objective.notes == []
    assert objective.decompositions.importance != prepared(task_of()).decompositions.importance
    assert objective.task.settings()["sensitivity"].endswith("first_class")


class Chooser(Net):
    """A layer whose output only chooses: it has no gradient, and yet all depends on it."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.a(x))
        return self.c(hidden) * (1 + self.b(hidden).argmax(1, keepdim=True) % 2)


class Frozen(Net):
    """A part that is run without gradients, as backbones are."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = torch.relu(self.b(torch.relu(self.a(x))))
        return self.c(hidden)


@pytest.mark.parametrize(("net", "named"), [(Deaf, "b"), (Infinite, "b"), (Chooser, "b"), (Frozen, "a, b")])
def test_layers_of_which_it_is_not_known_are_named_and_count_as_others_do(net: type[nn.Module], named: str) -> None:
    objective = prepared(task_of(net))
    (note,) = objective.notes
    assert note == f"no finite gradient reaches {named}: there the errors are those of the layer's own output"
    importance = objective.decompositions.importance
    assert all(importance[name] == pytest.approx(1.0) for name in named.split(", "))
    assert np.isfinite(Candidates.of(objective).errors).any(1).all()


class Whole(Net):
    """Its outputs are whole numbers in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else (100 * super().forward(x)).long()


@pytest.mark.parametrize("net", [Inference, Whole])
def test_a_model_that_cannot_be_run_backward_has_each_layers_own_errors(net: type[nn.Module]) -> None:
    objective = prepared(task_of(net))
    assert len(objective.notes) == 1 and "cannot be run backward" in objective.notes[0]
    assert objective.decompositions.importance == prepared(task_of(sensitivity="none")).decompositions.importance


def test_frozen_parameters_stay_frozen_and_without_gradients() -> None:
    task = task_of()
    task.model.a.requires_grad_(False)
    objective = prepared(replace(task))
    assert not objective.dense.a.weight.requires_grad and objective.dense.b.weight.requires_grad
    assert all(parameter.grad is None for parameter in objective.dense.parameters())


@pytest.mark.parametrize("given", ["fischer", 3, None, True])
def test_what_it_is_not(given: Any) -> None:
    with pytest.raises(RankfrontError, match="sensitivity must be one of auto, outputs, fisher, none, or a function"):
        task_of(sensitivity=given)


class Positions(nn.Module):
    """Logits for every position, ``(N, 3, 4)``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.view(len(x), 3, 4).repeat(1, 1, 3))


def positions(seed: int) -> tuple[Tensor, Tensor]:
    x, y = blobs(200, seed)
    return x, y[:, None].repeat(1, 3)


@pytest.mark.parametrize(
    ("fields", "came_to"),
    [
        ({}, "outputs"),
        ({"sensitivity": "fisher"}, "fisher"),
        ({"sensitivity": "none"}, "none"),
        ({"whiten": False}, "none"),
        ({"net": Inference}, "none"),
        ({"sensitivity": "fisher", "loss": nn.functional.mse_loss, "score": torch.dist}, "outputs"),
        ({"sensitivity": lambda outputs: outputs.sum()}, "<lambda>"),
    ],
)
def test_what_auto_came_to_is_known(fields: dict[str, Any], came_to: str) -> None:
    assert prepared(task_of(**fields)).sensitivity.endswith(came_to)


def test_logits_of_every_position_go_by_what_they_predict() -> None:
    loss = nn.functional.cross_entropy
    task = Task(
        Positions().eval(), positions(1), positions(2), calibration=128,
        loss=lambda o, y: loss(o.flatten(0, 1), y.flatten()),
    )  # fmt: skip
    assert prepared(task).sensitivity == "outputs"  # of a loss of the user's own nothing is known
    assert prepared(replace(task, loss=None)).sensitivity == "fisher"
