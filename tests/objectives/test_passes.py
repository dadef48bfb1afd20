"""What low fidelity costs against a trial, counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from rankfront import FineTune, Task
from rankfront.objectives.passes import cost_before_finetuning
from tests.conftest import blobs, perceptron


def task(**changes: object) -> Task:
    known = Task(
        perceptron(), blobs(640, 1), blobs(100, 2), calibration=80, refit=None,
        finetune=FineTune(epochs=2, batch_size=64),
    )  # fmt: skip
    return replace(known, **changes)  # pyright: ignore[reportArgumentType]


def test_it_is_the_samples_that_pass() -> None:
    """Two epochs of 640 samples, forward and backward, validated before and after each."""
    assert cost_before_finetuning(task()) == pytest.approx(100 / (3 * 2 * 640 + 3 * 100))


def test_a_refit_and_batch_norm_cost_both_alike() -> None:
    """They are part of the score and of the trial."""
    plain, refitted = (cost_before_finetuning(task(refit=how)) for how in (None, "layer"))
    normed = cost_before_finetuning(task(refit="layer", model=nn.Sequential(nn.BatchNorm1d(12), perceptron())))
    assert plain < refitted < normed < 1


def test_longer_training_makes_it_cheaper() -> None:
    costs = [cost_before_finetuning(task(finetune=FineTune(steps=steps))) for steps in (0, 10, 100)]
    assert costs == sorted(costs, reverse=True) and costs[0] < 1


def test_a_loader_counts_its_own_batches() -> None:
    x, y = blobs(640, 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=32)
    assert cost_before_finetuning(task(train=loader)) == cost_before_finetuning(task())
