"""Passes without gradients are no larger than training's, unless they are small anyway."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from rankfront import Choice, FineTune, Plan, RankfrontError, Task
from rankfront.objectives.model.pass_size import LITTLE, MOST, made_bytes, pass_size
from rankfront.objectives.objective import Objective
from tests.conftest import blobs, perceptron


@pytest.mark.parametrize(
    ("model", "shape", "numbers"),
    [
        (nn.Linear(10, 20), (1, 10), 20),
        (nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5)), (1, 10), 20 + 20 + 5),
        (nn.Sequential(nn.Linear(10, 20), nn.ReLU(inplace=True), nn.Flatten()), (1, 10), 20),
        (nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten()), (1, 3, 6, 6), 8 * 36),
    ],
)
def test_what_a_pass_makes(model: nn.Module, shape: tuple[int, ...], numbers: int) -> None:
    assert made_bytes(model.eval(), torch.zeros(shape)) == 4 * numbers


def test_small_networks_pass_more_and_large_ones_what_they_train_with() -> None:
    example = torch.zeros(1, 10)
    assert pass_size(nn.Linear(10, 20), example, 8) == MOST
    large = nn.Linear(10, LITTLE // 40)  # a tenth of the bytes for each sample
    assert [pass_size(large, example, size) for size in (8, 128, 1024)] == [10, 128, 1024]


class Wide(nn.Module):
    """Notes the largest batch that it was given, in training and without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron()
        self.largest: dict[bool, int] = {}

    def forward(self, x: Tensor) -> Tensor:
        wide = x.repeat(1, 2**15)  # 1.5 MiB a sample
        self.largest[self.training] = max(len(x), self.largest.get(self.training, 0))
        return self.body(wide[:, :12])


@pytest.mark.parametrize(
    ("more", "largest"),
    [
        ({"finetune": FineTune(batch_size=24)}, 24),
        ({"finetune": FineTune(batch_size=24), "eval_batch_size": 5}, 5),
        ({"train": DataLoader(TensorDataset(*blobs(100, 1)), 30)}, 30),
    ],
)
def test_no_pass_of_a_trial_is_larger(more: dict[str, Any], largest: int) -> None:
    # Without refit: it holds calibration samples together, up to a bound of its own.
    data: dict[str, Any] = {"train": blobs(100, 1), "validation": blobs(90, 2), "calibration": 64, "refit": False}
    task = Task(Wide(), **(data | more))
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    assert objective.identity
    assert objective.batch_size == largest
    outcome = objective(Plan({next(iter(objective.by_name)): Choice("svd", 2)}), 0)
    dense, model = objective.dense, outcome.model
    assert isinstance(dense, Wide) and isinstance(model, Wide)
    bound = max(largest, 24 if "eval_batch_size" in more else 0)  # soft targets of a training batch
    assert dense.largest[False] <= bound
    assert max(model.largest.values()) <= max(largest, task.batch_size)


@pytest.mark.parametrize("size", [0, -3, 2.5, "8"])
def test_an_override_is_a_number_of_samples(size: Any) -> None:
    with pytest.raises(RankfrontError, match=r"eval_batch_size must be .*1 or more, but got"):
        Task(perceptron(), blobs(50, 1), blobs(50, 2), eval_batch_size=size)
