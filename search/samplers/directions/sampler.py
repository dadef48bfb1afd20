"""The default sampler: allocation rules first, then knapsacks on what the trials have taught, last the leaders again.

1. Every proposal lies at the budget or, where costs are objectives, in a gap of the front, drawn by how much
   hypervolume it may hold.
2. The first ones are plans of the allocation rules: of a point's, the one that promises most once its network is scored
   before fine-tuning.
3. Then what is believed of the layers is sampled (see `sensitivity`): bold, less bold and likeliest in turn. Of the
   knapsack on that belief, the rules' plans, and plans of the front with up to three layers moved, the few that promise
   most are scored untrained, and what that foretells (see `low_fidelity`) decides which is proposed: that of the best
   expected score or, in a gap, of the largest expected growth of the hypervolume (Emmerich et al., 2006; the cost is
   known, so the integral is one over the score alone).
4. The last trials run the leaders again with other seeds, so that the plan reported as best is not the luckiest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial
from scipy.special import ndtr

from ....objectives.plan import Plan
from ...allocation.knapsack import knapsack
from ...allocation.rules import RULES
from ...results.front import LEADERS
from ...space.limits import NARROWEST, limits_at, spread
from ...storage.repeats import runs_of
from ...storage.slots import occupied
from ...storage.trials import SCORE, SCORE_BEFORE_FINETUNING, feasible
from ..problem import Problem
from ..proposer import Proposer
from .low_fidelity import LowFidelity
from .sensitivity import Draw, Seen, Sensitivity

STARTS = 4
"""So many of the first plans are rules'."""

SCREENED = 4
"""So many plans are scored untrained for each that is trained."""

BOLDNESS = (0.5, 0.25, 0.0)
"""Scales of the samples of what is believed, in turn."""

AGAIN = 15
"""One in so many of a study's trials is a leader's second run."""

AT_BUDGET = 12
"""One in so many proposals lies at the budget."""

KEEN = 3.0
"""The power of their areas by which gaps are drawn."""

MIDDLE = (0.4, 0.6)
"""Where in a gap proposals lie, on the logarithmic way through it."""

BEHIND = 3.0
"""How much less a trial counts that is behind the front, per standard deviation of the scores."""

MOVES = 64
"""Plans near the front's that are thought of at each point."""

NEAR = 0.25
"""How far, relatively in errors and cost, what was expected wrongly is carried over."""

MOST = 100
"""Trials that are learnt from at once."""

ALIKE = 0.02
"""Plans whose layers' errors differ by less, relative to their sum, and that cost the same within a hundredth."""


@dataclass(frozen=True)
class Known:
    """What is known of the trials within the budget: ``picks (N, L)``, ``scores (N,)``, share of the budget (N,)."""

    picks: NDArray[np.int64]
    scores: NDArray[np.float64]
    usage: NDArray[np.float64]
    untrained: NDArray[np.float64]
    """(N,): scores before fine-tuning; NaN where there was none."""

    @cached_property
    def front(self) -> NDArray[np.int64]:
        """Which trials are on the front of score and usage, from the smallest."""
        order = np.lexsort((-self.scores, self.usage))
        best = np.maximum.accumulate(np.concatenate([[-np.inf], self.scores[order]]))
        return order[self.scores[order] > best[:-1]]


@dataclass(frozen=True)
class Hope:
    """The values expected of plans, (N,), and how wrong they typically are."""

    values: NDArray[np.float64]
    error: float


@final
class DirectionsSampler(Proposer):
    """Few, meaningful directions, learnt from fine-tuned scores; see the module."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.candidates = self.space.candidates
        self.again = min(problem.trials // AGAIN, LEADERS)

    def propose(self, study: Study, trial: FrozenTrial, slot: int, seed: int) -> Plan:
        """Return a rule's plan, or one that what is believed likes best."""
        rng = np.random.default_rng(seed)
        known = self._known(study)
        one = len(study.directions) == 1
        at_budget = one or slot % AT_BUDGET == 0 or not len(known.scores)
        low, high = (0.0, 1.0) if at_budget else self._gap(known, rng)
        there = 1.0 if at_budget else float(low * (high / low) ** rng.uniform(*MIDDLE))
        if not one and not len(known.scores):  # several workers begin at several points
            there = NARROWEST ** (spread(slot) - 1)
        seen = self._seen(known, there)
        starting = slot < (1 if one else STARTS)
        draw = self._sensitivity.draw(seen, rng, 0.0 if starting else BOLDNESS[slot % len(BOLDNESS)])
        thought_of = [self._ruled(there)]
        if not starting:
            drawn = self.candidates.picks(self._allocated(there, draw.worth))
            thought_of += [drawn[None], self._moved(known, there, rng)]
        pool, source = np.vstack(thought_of), np.repeat(range(len(thought_of)), list(map(len, thought_of)))
        new = ~self._alike(pool, self._tried(study))
        pool, source = pool[new], source[new]
        usage = self._usage(pool)
        inside = (usage > low) & (usage < high + 1e-9)
        if inside.any():
            pool, source = pool[inside], source[inside]
        if not len(pool):
            return self._allocated(there, self._sensitivity.draw(seen, rng, 2.0).worth)

        def liked(hope: Hope, picks: NDArray[np.int64]) -> NDArray[np.float64]:
            return hope.values if at_budget else self._growth(known, picks, hope)

        hope = self._hoped(draw, seen, pool)
        promise = liked(hope, pool)
        sure = (source == 1) | (promise == promise[source == 0].max(initial=-np.inf))  # what is drawn, and a rule's
        few = pool if starting else self._unlike(pool[np.lexsort((-hope.values, -promise, ~sure))], SCREENED)
        hope = self._screened(draw, seen, few)
        return self.candidates.plan(few[np.lexsort((hope.values, liked(hope, few)))[-1]])

    def _tried(self, study: Study) -> NDArray[np.int64]:
        """Return the plans (N, L) of all trials, those that run included."""
        return np.array(list(self.space.tried(study)), np.int64).reshape(-1, len(self.candidates.names)) - 1

    def _ruled(self, there: float) -> NDArray[np.int64]:
        """Return the rules' plans (N, L) at a point, each once."""
        limits = {metric: there * limit for metric, limit in self._limits.items()}
        plans = [plan for rule in RULES.values() if (plan := rule(self.candidates, limits)) is not None]
        plans = plans or [self._allocated(1.0, self.candidates.errors)]
        return np.unique([self.candidates.picks(plan) for plan in plans], axis=0)

    def _unlike(self, pool: NDArray[np.int64], most: int) -> NDArray[np.int64]:
        """Return the first plans of the pool (N, L) that are not alike."""
        few = pool[:1]
        for plan in pool[1:]:
            if len(few) == most:
                break
            if not self._alike(plan[None], few)[0]:
                few = np.vstack([few, plan])
        return few

    def _screened(self, draw: Draw, seen: Seen, pool: NDArray[np.int64]) -> Hope:
        """Return what is expected of plans (N, L) once their networks are scored untrained."""
        if len(pool) == 1:
            return self._hoped(draw, seen, pool)
        scores = [self.problem.untrained(self.candidates.plan(picks)) for picks in pool]
        untrained, _ = self._values(np.array([np.nan if score is None else score for score in scores], float))
        known = ~np.isnan(seen.untrained)
        if known.any():
            told = LowFidelity.of(draw.expected(seen.picks[known]), seen.untrained[known], seen.scores[known])
        elif not np.isnan(untrained).all():
            told = LowFidelity.new(draw.expected(pool), untrained)
        else:
            return self._hoped(draw, seen, pool)
        hope = self._hoped(draw, seen, pool, told)
        values = hope.values + told.beyond(draw.expected(pool), untrained)
        return Hope(np.where(np.isnan(untrained), -np.inf, values), hope.error)

    def _gap(self, known: Known, rng: np.random.Generator) -> tuple[float, float]:
        """Return the ends of a gap of the front, as shares of the budget, drawn by how much area it may hold.

        Trials that were in it for nothing make it hold less.
        """
        usage, scores = known.usage[known.front], known.scores[known.front]
        least = max(getattr(self.candidates.smallest, m) / limit for m, limit in self._limits.items())
        ends = np.concatenate([[min(least, usage[0])], usage, [max(1.0, usage[-1])]])
        heights = np.concatenate([[self._floor(known)], scores, [2 * scores[-1] - scores[max(0, len(scores) - 2)]]])
        inside = np.searchsorted(ends, np.delete(known.usage, known.front), side="right") - 1
        tries = np.bincount(inside.clip(0, len(ends) - 2), minlength=len(ends) - 1)
        rises = np.maximum(np.diff(heights), 1e-9 * (np.ptp(heights) or 1.0))
        areas = np.maximum(np.diff(ends), 1e-9) * rises / (1 + tries)
        chances = (areas / areas.max()) ** KEEN
        n = rng.choice(len(areas), p=chances / chances.sum())
        return float(ends[n]), float(max(ends[n + 1], ends[n] * 1.001))

    def _floor(self, known: Known) -> float:
        """Return the least score that counts: of all trials and of the smallest network, untrained."""
        return min(known.scores.min(), self._least)

    @cached_property
    def _least(self) -> float:
        cheapest = self.candidates.changes[:, :, 0].argmin(1)
        score = self.problem.untrained(self.candidates.plan(cheapest))
        return np.inf if score is None else score

    def _moved(self, known: Known, there: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return plans (MOVES, L) that fit: plans on the front near that point, up to three layers moved."""
        front = known.front
        if not len(front):
            return np.zeros((0, len(self.candidates.names)), np.int64)
        nearest = front[np.argsort(np.abs(np.log(known.usage[front] / there)), kind="stable")[:3]]
        parents = known.picks[rng.choice(nearest, MOVES)]
        layers = parents.shape[1]
        steps = np.rint(rng.choice([-1, 1], parents.shape) * np.exp(rng.normal(0, 0.7, parents.shape)))
        which = rng.random(parents.shape).argsort(1) < rng.integers(1, min(3, layers) + 1, (MOVES, 1))
        moved = np.clip(parents + (steps * which).astype(np.int64), 0, self.candidates.sizes - 1)
        return moved[self._usage(moved) <= 1.0]

    def _hoped(self, draw: Draw, seen: Seen, pool: NDArray[np.int64], told: LowFidelity | None = None) -> Hope:
        """Return what is expected of plans (N, L), put right by what was wrongly expected near them."""
        expected = draw.expected(pool)
        if not len(seen.scores):
            return Hope(expected, 0.0)
        wrong = seen.scores - draw.expected(seen.picks)
        if told is not None:  # what the untrained scores had told is not wrong
            wrong -= np.nan_to_num(told.beyond(draw.expected(seen.picks), seen.untrained))
        rows = np.arange(pool.shape[1])
        errors = self.candidates.errors
        ours, theirs = errors[rows, pool], errors[rows, seen.picks]
        apart = np.abs(ours[:, None] - theirs[None]).sum(2) / ours.sum(1)[:, None].clip(1e-12)
        usage = np.log(self._usage(pool)[:, None] / self._usage(seen.picks)[None])
        near = np.exp(-0.5 * ((apart / NEAR) ** 2 + (usage / NEAR) ** 2))
        typical = float(np.sqrt(np.average(wrong**2, weights=1 / (1 + seen.distances**2))))
        return Hope(expected + near @ wrong / (near.sum(1) + 0.5), typical)

    def repeat(self, study: Study, slot: int) -> Plan | None:
        """Return a leader's plan in the study's last slots: of the best by their first score, that of fewest runs."""
        if slot < self.problem.trials - self.again or slot >= self.problem.trials:
            return None
        known = self._known(study)
        runs = runs_of(zip(map(tuple, known.picks.tolist()), known.scores.tolist(), strict=True))
        leaders = sorted(runs, key=lambda plan: -runs[plan][0])[: self.again]
        if not leaders:
            return None
        others = occupied(study).values()  # other workers' runs are not finished yet
        running = Counter(self.space.values(t.params) for t in others if not t.state.is_finished() and t.params)
        plans = [self.candidates.plan(np.array(leader)) for leader in leaders]
        at_work = [running[tuple(self.space.params(plan).values())] for plan in plans]
        fewest = min(range(len(plans)), key=lambda n: len(runs[leaders[n]]) + at_work[n])
        return plans[fewest]

    def _allocated(self, share: float, worth: NDArray[np.float64]) -> Plan:
        for part in (share, 1.0):  # each limit lies above its smallest plan, but one that keeps all need not
            plan = knapsack(self.candidates, {m: part * limit for m, limit in self._limits.items()}, worth)
            if plan is not None:
                return plan
        raise AssertionError("run has seen that some plan keeps the budget")

    def _known(self, study: Study) -> Known:
        """Return the trials that keep the budget, in the order of their slots."""
        trials = [t for _, t in sorted(occupied(study).items()) if feasible(t)]
        values = [self.space.values(t.params) for t in trials]
        picks = np.array(values, np.int64).reshape(-1, len(self.candidates.names)) - 1
        scores = np.array([t.user_attrs[SCORE] for t in trials], float)
        untrained = np.array([t.user_attrs.get(SCORE_BEFORE_FINETUNING) for t in trials], float)
        return Known(picks, scores, self._usage(picks), untrained)

    def _seen(self, known: Known, there: float) -> Seen:
        """Return what is known, as it counts for plans that use so much of the budget."""
        values, errors = self._values(known.scores)
        order = np.lexsort((-values, known.usage))
        best = np.empty(len(values))
        best[order] = np.maximum.accumulate(values[order])
        unit = (values.std() if len(values) else 0.0) or 1.0
        far = np.hypot(np.log(known.usage / there), BEHIND * (best - values) / unit)
        nearest = np.argsort(far, kind="stable")[:MOST]
        untrained, _ = self._values(known.untrained)
        return Seen(known.picks[nearest], values[nearest], errors[nearest], far[nearest], untrained[nearest])

    def _values(self, scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what is fitted, and its standard errors: accuracies as log odds, other scores as they are."""
        n = self.problem.samples
        if not n:
            return scores, np.zeros(len(scores))
        shares = (n * scores + 0.5) / (n + 1)
        return np.log(shares / (1 - shares)), 1 / np.sqrt(n * shares * (1 - shares))

    def _growth(self, known: Known, picks: NDArray[np.int64], hope: Hope) -> NDArray[np.float64]:
        """Return by how much the front's hypervolume is expected to grow with each plan (N, L), (N,)."""
        scores, errors = hope.values, np.full(len(picks), hope.error)
        if n := self.problem.samples:  # back from log odds, see `_values`
            shares = 1 / (1 + np.exp(-scores))
            scores = ((shares * (n + 1) - 0.5) / n).clip(0, 1)
            errors *= shares * (1 - shares)
        ends = np.concatenate([[0.0], known.usage[known.front], [1.0]])
        heights = np.concatenate([[self._floor(known)], known.scores[known.front]])
        widths = (ends[1:] - np.maximum(ends[:-1], self._usage(picks)[:, None])).clip(0)  # (N, steps of the front)
        errors = np.maximum(errors, 1e-9 * (np.ptp(heights) or 1.0))[:, None]
        above = ((scores[:, None] - heights) / errors).clip(-9)
        density = np.exp(-(above**2) / 2) / np.sqrt(2 * np.pi)
        return (widths * errors * (above * ndtr(above) + density)).sum(1)

    def _usage(self, picks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how much of the budget plans (N, L) use, (N,): the largest share of any limit."""
        costs = self.candidates.costs_of(picks)
        return np.max([costs[m] / limit for m, limit in self._limits.items()], axis=0)

    def _alike(self, picks: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which plans (N, L) differ from one of the others (M, L) by less than noise, (N,)."""
        if not len(others) or not len(picks):
            return np.zeros(len(picks), bool)
        same_cost = np.abs(self._usage(picks)[:, None] / self._usage(others)[None] - 1) < 0.01
        concerned = same_cost.any(0)
        rows = np.arange(picks.shape[1])
        ours, theirs = self.candidates.errors[rows, picks], self.candidates.errors[rows, others[concerned]]
        apart = np.abs(ours[:, None] - theirs[None]).sum(2)
        return ((apart <= ALIKE * ours.sum(1)[:, None]) & same_cost[:, concerned]).any(1)

    @cached_property
    def _limits(self) -> dict[str, float]:
        return limits_at(self.space, 1.0)

    @cached_property
    def _sensitivity(self) -> Sensitivity:
        return Sensitivity(self.candidates)
