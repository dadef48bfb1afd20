"""Toy studies: candidates with known errors and costs, without any network behind them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import torch
from torch import nn

from rankfront import Plan, Task
from rankfront.objectives.objective import Objective
from rankfront.search.space.candidates import Candidates
from rankfront.search.space.space import Space
from tests.conftest import blobs, perceptron


@functools.cache
def toy_candidates(depth: int = 3, width: int = 12) -> Candidates:
    """Candidates of a small perceptron: ``depth`` hidden layers."""
    layers: list[nn.Module] = []
    torch.manual_seed(0)
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    task = Task(
        nn.Sequential(*layers, perceptron(features=width)), blobs(100, 1, width), blobs(50, 2, width), calibration=80
    )
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    return Candidates.of(objective)


def toy_space(share: float = 0.6, **kwargs: int) -> Space:
    candidates = toy_candidates(**kwargs)
    return Space(candidates, {"params": share * candidates.costs.dense.params})


def all_plans(candidates: Candidates) -> Iterator[Plan]:
    for combination in itertools.product(*candidates.choices):
        yield Plan(dict(zip(candidates.names, combination, strict=True)))


def error_of(candidates: Candidates, plan: Plan) -> float:
    picks = candidates.picks(plan)
    return float(candidates.errors[range(len(picks)), picks].sum())
