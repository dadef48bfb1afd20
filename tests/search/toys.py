"""Toy studies: candidates with known errors and costs, and made-up scores, without any network behind them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rankfront import Metrics, Plan, Task
from rankfront.objectives.objective import Objective
from rankfront.objectives.plan import Choice
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
        sensitivity="none",  # so that no layer's errors are smaller than another's on the whole
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


@dataclass(frozen=True)
class MadeUpCosts:
    """Costs that are numbers alone, in the place of `Costs`."""

    changes: NDArray[np.float64]
    """(L, K, M)"""
    header: NDArray[np.float64]
    """(L, K): by how much more a layer's option adds to the last metric than `changes` say."""
    dense: Metrics
    start: Metrics

    def is_additive(self, metric: str) -> bool:
        return not self.header.any() or metric != list(self.dense)[-1]

    def smallest(self, _: object) -> Metrics:
        least = self.changes.min(1).sum(0)
        return Metrics({metric: self.dense[metric] + least[n] for n, metric in enumerate(self.dense)})

    def amount(self, metric: str, plan: Plan) -> float:
        """What a plan costs, its choices read from the ranks."""
        assert metric == list(self.dense)[-1]
        choices = [0 if choice.rank is None else int(str(choice.rank)) for choice in plan.values()]
        rows = range(len(choices))
        return self.dense[metric] + float((self.changes[rows, choices, -1] + self.header[rows, choices]).sum())


def made_up_candidates(
    rng: np.random.Generator, layers: int, options: int, metrics: int, header: int = 0
) -> Candidates:
    """Candidates whose costs in several metrics have nothing to do with each other, all of them integers."""
    changes = -rng.integers(0, 100, (layers, options, metrics)).astype(float)
    changes[:, -1] = 0  # dense
    errors = np.hstack([rng.exponential(1.0, (layers, options - 1)), np.zeros((layers, 1))])
    headers = rng.integers(-header, header + 1, (layers, options)).astype(float)
    headers[:, -1] = 0
    names = ("params", "flops", "bytes")[:metrics]
    dense = Metrics(dict.fromkeys(names, 1000.0 * layers))
    choices = tuple(Choice("svd", rank) for rank in range(options))
    return Candidates(
        tuple(f"layer{n}" for n in range(layers)),
        (choices,) * layers,
        np.ones((layers, options)),
        errors,
        np.zeros((layers, options)),
        changes,
        names,
        cast("Any", MadeUpCosts(changes, headers, dense, dense)),
    )
