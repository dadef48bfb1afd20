"""Toy studies: candidates with known errors and costs, and made-up scores, without any network behind them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rankfront import Task
from rankfront.objectives.objective import Objective
from rankfront.search.space.candidates import Candidates
from rankfront.search.space.space import Space
from tests.conftest import blobs, perceptron

Choices = NDArray[np.int64]


@functools.cache
def toy_candidates(depth: int = 3, width: int = 12, kinds: tuple[str, ...] = ()) -> Candidates:
    """Candidates of a small perceptron: ``depth`` hidden layers, all kinds if none is given."""
    layers: list[nn.Module] = []
    torch.manual_seed(0)
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    task = Task(
        nn.Sequential(*layers, perceptron(features=width)),
        blobs(100, 1, width),
        blobs(50, 2, width),
        calibration=80,
        **({"kinds": kinds} if kinds else {}),
    )
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    return Candidates.of(objective)


def toy_space(share: float = 0.6, **kwargs: int) -> Space:
    candidates = toy_candidates(**kwargs)
    return Space(candidates, {"params": share * candidates.dense["params"]})


def all_choices(candidates: Candidates) -> Iterator[Choices]:
    for combination in itertools.product(*(range(size) for size in candidates.sizes)):
        yield np.array(combination)


def error_of(candidates: Candidates, choices: Choices) -> float:
    return float(candidates.errors[range(len(choices)), choices].sum())


@dataclass(frozen=True)
class Landscape:
    """A made-up score that is not what the knapsack minimises, and one before fine-tuning that only goes with it."""

    loss: Callable[[Candidates, Choices], float]
    """Choices → what the score falls with the logarithm of."""
    noise: float = 0.0
    """Standard deviation of a score."""
    noise_before: float = 0.5
    """Standard deviation of the score before fine-tuning about the score."""

    def score(self, candidates: Candidates, choices: Choices) -> float:
        return -float(np.log(self.loss(candidates, choices) + 1e-3)) + self.noise * _normal(choices, 1)

    def before(self, candidates: Candidates, choices: Choices) -> float:
        exact = -float(np.log(self.loss(candidates, choices) + 1e-3))
        return 0.7 * exact - 1 + self.noise_before * _normal(choices, 2)


def _normal(choices: Choices, use: int) -> float:
    """The same standard normal number whenever these choices are scored."""
    return float(np.random.default_rng([use, *choices.tolist()]).standard_normal())


def _errors(candidates: Candidates, choices: Choices) -> NDArray[np.float64]:
    return candidates.errors[range(len(choices)), choices]


def _unequal(candidates: Candidates, choices: Choices) -> float:
    weights = np.exp(np.linspace(2.5, -2.5, len(choices)))
    return float(weights @ _errors(candidates, choices))


def _bottlenecks(candidates: Candidates, choices: Choices) -> float:
    penalties = candidates.bottleneck_penalties[range(len(choices)), choices]
    return float((_errors(candidates, choices) ** 2 + 30 * penalties).sum())


def _interaction(candidates: Candidates, choices: Choices) -> float:
    errors = _errors(candidates, choices)
    return float(errors.max() + 10 * (errors[1:] * errors[:-1]).sum())


LANDSCAPES = {
    "layers weigh unequally": Landscape(_unequal),
    "bottlenecks cost more": Landscape(_bottlenecks),
    "neighbours interact": Landscape(_interaction),
    "noise, and a score before fine-tuning that says little": Landscape(_unequal, noise=0.2, noise_before=2.0),
}


def hypervolume(fractions: NDArray[np.float64], scores: NDArray[np.float64], reference: float) -> float:
    """The area that points dominate, from budget fraction 1 and the reference's score."""
    order = np.argsort(fractions)
    heights = np.maximum.accumulate((scores[order] - reference).clip(0))
    return float((np.diff(np.append(fractions[order], 1.0)).clip(0) * heights).sum())
