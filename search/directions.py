"""The default sampler: allocation rules first, then knapsacks on what the trials have taught, last the leaders again.

1. The first trials are plans of the allocation rules, at the budget and spread below it.
2. Then every proposal is a knapsack on a sample of what is believed of the layers (see `sensitivity`): bold, less bold
   and likeliest in turn. It lies at the budget every other time, else where that belief expects the front's
   hypervolume to grow most.
3. The last trials run the leaders again with other seeds, so that the plan reported as best is not the luckiest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial

from ..objectives.plan import Plan
from .allocation import knapsack
from .front import LEADERS, area
from .problem import Problem
from .proposer import Proposer
from .reach import limits_at
from .repeats import runs_of
from .rules import RULES
from .sensitivity import Seen, Sensitivity
from .slots import occupied
from .trials import SCORE, feasible

STARTS = (("knapsack", 1.0), ("energy", 1.0), ("knapsack", 0.5), ("uniform", 0.75), ("knapsack", 0.25), ("energy", 0.4))
"""Rules, and how far on the way to the budget."""

BOLDNESS = (1.0, 0.5, 0.0)
"""Scales of the samples of what is believed, in turn."""

AGAIN = 10
"""Every so manieth of a study's trials is a leader's second run."""

AT_BUDGET = 3
"""Every so manieth proposal lies at the budget."""

POINTS = 4
"""At so many points of the way a plan is thought of; the one that promises most is proposed."""

BEHIND = 3.0
"""How much less a trial counts that is behind the front, per standard deviation of the scores."""

MOST = 200
"""Trials that are learnt from at once."""

ALIKE = 0.02
"""Plans whose layers' errors differ by less, relative to their sum, and that cost the same within a hundredth."""


@dataclass(frozen=True)
class Known:
    """What is known of the trials within the budget: ``picks (N, L)``, ``scores (N,)``, share of the budget (N,)."""

    picks: NDArray[np.int64]
    scores: NDArray[np.float64]
    usage: NDArray[np.float64]


@final
class DirectionsSampler(Proposer):
    """Few, meaningful directions, learnt from fine-tuned scores; see the module."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.candidates = self.space.candidates
        self.again = min(problem.trials // AGAIN, LEADERS)

    def propose(self, study: Study, trial: FrozenTrial, slot: int, seed: int) -> Plan:
        """Return a rule's plan, or one that what is believed likes best."""
        if slot < len(STARTS):
            rule, reach = STARTS[slot]
            plan = RULES[rule](self.candidates, limits_at(self.space, reach))
            return plan or self._allocated(1.0, self.candidates.errors)
        rng = np.random.default_rng(seed)
        known = self._known(study)
        boldness = BOLDNESS[slot % len(BOLDNESS)]
        if len(study.directions) == 1 or slot % AT_BUDGET == 0:
            points = [1.0] * 2
        else:
            points = list((np.arange(POINTS) + rng.random(POINTS)) / POINTS)
        hopes: list[tuple[float, Plan]] = []
        for reach in points:
            draw = self._sensitivity.draw(self._seen(known, reach), rng, boldness)
            plan = self._allocated(reach, draw.worth)
            picks = self.candidates.picks(plan)
            if self._is_alike(picks, known.picks):
                continue
            hopes.append((self._growth(known, picks, float(draw.expected(picks[None])[0])), plan))
        if not hopes:
            return self._allocated(float(rng.random()), self._sensitivity.draw(self._seen(known, 1.0), rng, 2.0).worth)
        return max(hopes, key=lambda hope: hope[0])[1]

    def repeat(self, study: Study, slot: int) -> Plan | None:
        """Return a leader's plan in the study's last slots: of the best by their first score, that of fewest runs."""
        if slot < self.problem.trials - self.again or slot >= self.problem.trials:
            return None
        known = self._known(study)
        runs = runs_of(zip(map(tuple, known.picks.tolist()), known.scores.tolist(), strict=True))
        leaders = sorted(runs, key=lambda plan: -runs[plan][0])[: self.again]
        return self.candidates.plan(np.array(min(leaders, key=lambda plan: len(runs[plan])))) if leaders else None

    def _allocated(self, reach: float, worth: NDArray[np.float64]) -> Plan:
        for at in (reach, 1.0):  # each limit lies above its smallest plan, but one that keeps all need not
            plan = knapsack(self.candidates, limits_at(self.space, at), worth)
            if plan is not None:
                return plan
        raise AssertionError("run has seen that some plan keeps the budget")

    def _known(self, study: Study) -> Known:
        """Return the trials that keep the budget, in the order of their slots."""
        trials = [t for _, t in sorted(occupied(study).items()) if feasible(t)]
        names = list(self.space.distributions)
        picks = np.array([[t.params[name] - 1 for name in names] for t in trials], np.int64).reshape(-1, len(names))
        scores = np.array([t.user_attrs[SCORE] for t in trials], float)
        return Known(picks, scores, self._usage(picks))

    def _seen(self, known: Known, reach: float) -> Seen:
        """Return what is known, as it counts at a point of the way."""
        there = max(limits_at(self.space, reach)[m] / limit for m, limit in self._limits.items())
        values, errors = self._values(known.scores)
        order = np.lexsort((-values, known.usage))
        best = np.empty(len(values))
        best[order] = np.maximum.accumulate(values[order])
        unit = values.std() or 1.0
        far = np.hypot(np.log(known.usage / there), BEHIND * (best - values) / unit)
        nearest = np.argsort(far, kind="stable")[:MOST]
        return Seen(known.picks[nearest], values[nearest], errors[nearest], far[nearest])

    def _values(self, scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what is fitted, and its standard errors: accuracies as log odds, other scores as they are."""
        n = self.problem.samples
        if not n:
            return scores, np.zeros(len(scores))
        shares = (n * scores + 0.5) / (n + 1)
        return np.log(shares / (1 - shares)), 1 / np.sqrt(n * shares * (1 - shares))

    def _growth(self, known: Known, picks: NDArray[np.int64], value: float) -> float:
        """Return by how much the front's hypervolume would grow with a plan of that value."""
        if not len(known.scores):
            return 0.0
        score = 1 / (1 + np.exp(-value)) if self.problem.samples else value
        floor = known.scores.min()
        usage = np.append(known.usage, self._usage(picks[None]))
        gains = np.append(known.scores, max(score, floor)) - floor
        return area(usage, gains) - area(usage[:-1], gains[:-1])

    def _usage(self, picks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how much of the budget plans (N, L) use, (N,): the largest share of any limit."""
        costs = self.candidates.costs_of(picks)
        return np.max([costs[m] / limit for m, limit in self._limits.items()], axis=0)

    def _is_alike(self, picks: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
        """Return whether the plan differs from one of the others by less than noise."""
        if not len(others):
            return False
        rows = np.arange(len(picks))
        errors = self.candidates.errors
        apart = np.abs(errors[rows, others] - errors[rows, picks]).sum(1)
        cost, costs = self._usage(picks[None]), self._usage(others)
        return bool(((apart < ALIKE * errors[rows, picks].sum()) & (np.abs(costs / cost - 1) < 0.01)).any())

    @cached_property
    def _limits(self) -> dict[str, float]:
        return limits_at(self.space, 1.0)

    @cached_property
    def _sensitivity(self) -> Sensitivity:
        return Sensitivity(self.candidates)
