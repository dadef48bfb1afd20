"""The default sampler: the knapsack, reshaped along a few meaningful directions.

A proposal is a point on the way to the budget and a weight for every layer's error; the knapsack turns
them into a plan. Weights are ``exp(F c)`` with few coefficients ``c`` on features ``F`` of the layers
(depth, its square, size, being first, being last), so a search over them is one over shapes of the
plan, not over raw ranks. The first proposals are the plain knapsack (``c = 0``) at several points;
the others step away from the best found so far, judged by its fine-tuned score: an evolution strategy
with one parent and one child at a time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial

from ..objectives.plan import Plan
from .allocation import knapsack
from .proposer import Proposer
from .reach import limits_at, spread
from .slots import occupied
from .space import Space
from .trials import SCORE, feasible

KEY = "rankfront:directions"
"""The trial's system attribute that holds where a proposal came from."""

STARTS = 6
"""How many proposals are the plain knapsack's."""


@dataclass(frozen=True)
class Point:
    """Where a proposal lies: ``reach`` from 0 (the smallest plan) to 1 (the budget), and coefficients."""

    reach: float
    coefficients: NDArray[np.float64]


@final
class DirectionsSampler(Proposer):
    """Knapsack plans first, then steps from the leaders."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self.features = _features(space)

    def propose(self, study: Study, trial: FrozenTrial, slot: int, seed: int) -> Plan:
        """Return the knapsack's plan at a point, and note the point."""
        rng = np.random.default_rng(seed)
        point = self._start(slot) if slot < STARTS else self._step(study, rng)
        weights = np.exp(self.features @ point.coefficients)
        plan = knapsack(self.space.candidates, limits_at(self.space, point.reach), weights)
        if plan is None:  # each limit lies above its smallest plan, but one that keeps all need not
            plan = knapsack(self.space.candidates, limits_at(self.space, 1.0), weights)
        assert plan is not None, "run has seen that some plan keeps the budget"
        noted = json.dumps({"reach": point.reach, "coefficients": point.coefficients.tolist()})
        study._storage.set_trial_system_attr(trial._trial_id, KEY, noted)
        return plan

    def _start(self, slot: int) -> Point:
        """Return the plain knapsack at the budget, then at points spread below it (1, 0.7, 0.55, 0.85 …)."""
        reach = 1.0 if slot == 0 else 0.4 + 0.6 * spread(slot)
        return Point(reach, np.zeros(self.features.shape[1]))

    def _step(self, study: Study, rng: np.random.Generator) -> Point:
        """Return a step from the leader at a point of the front: at the budget every other time, else below."""
        reach = 1.0 if rng.random() < 0.5 else 1.0 - 0.7 * float(rng.random()) ** 1.5
        leader = self._leader(study, reach)
        size = rng.choice([0.3, 0.6, 1.2])
        moved = rng.random(len(leader)) < 0.6
        return Point(reach, leader + size * moved * rng.standard_normal(len(leader)))

    def _leader(self, study: Study, reach: float) -> NDArray[np.float64]:
        """Return the coefficients of the best-scoring trial that does not cost more than ``reach`` allows."""
        zero = np.zeros(self.features.shape[1])
        known = [
            (trial.user_attrs[SCORE], _noted(trial))
            for trial in occupied(study).values()
            if feasible(trial) and KEY in trial.system_attrs
        ]
        inside = [(score, point) for score, point in known if point.reach <= reach + 1e-9]
        return max(inside, key=lambda pair: pair[0])[1].coefficients if inside else zero


def _features(space: Space) -> NDArray[np.float64]:
    """Return each layer's features (L, 5): depth, its square, log size, first, last; scaled to about ±1."""
    layers = [space.candidates.costs.layers[name] for name in space.candidates.names]
    depth = np.linspace(-1, 1, len(layers)) if len(layers) > 1 else np.zeros(1)
    size = np.log([layer.params for layer in layers])
    size = (size - size.mean()) / (np.abs(size - size.mean()).max() or 1.0)
    first, last = np.eye(len(layers))[0], np.eye(len(layers))[-1]
    return np.column_stack([depth, depth**2 - 0.5, size, first, last])


def _noted(trial: FrozenTrial) -> Point:
    noted = json.loads(trial.system_attrs[KEY])
    return Point(noted["reach"], np.array(noted["coefficients"]))
