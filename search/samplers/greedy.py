"""The greedy rule of AIMET: a table of one layer at a time, then one score that all layers keep.

Every layer by itself is compressed to a few shares of its cost, and the network is scored without fine-tuning. A plan
then takes in every layer the cheapest option whose score is at least a common one, and bisection finds the highest such
score that fits (Qualcomm's AIMET, "greedy selection of compression ratios"; see also Cai et al., 2020, on its cost).
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from ..allocation.bisection import largest_that_fits
from ..space.arrays import Choices
from ..space.candidates import Candidates
from ..space.limits import limits_at, van_der_corput
from ..space.space import Space
from .history import History
from .sampler import Sampler
from .untried import WithoutRepeats

KEY = "rankfront:greedy"
"""The study's system attribute with the table: layer → scores."""

SHARES = tuple(n / 10 for n in range(1, 10))
"""AIMET's ten ratios, the last of which is dense."""


@final
class GreedySampler:
    """Proposes the rule's plan at the budget first, then below it; the table is made once and stored in the study."""

    def propose(self, history: History, slot: int, /) -> Choices:
        """Return the choices of the highest common score at the slot's point."""
        space = history.problem.space
        options, costs = _options(space)
        values = np.full(options.shape, -np.inf)  # dense, the last of a row, is infinitely good
        for layer, row in enumerate(_scores(history, options, slot)):
            values[layer, : len(row)] = history.problem.values(row)
        cheapest = options[:, 0]
        levels = np.unique(values[np.isfinite(values)])[::-1]
        if not len(levels):  # no network had a score: dense is all that is known to be good
            levels = np.array([-np.inf])

        def at(way: float) -> Choices:
            if way <= 0:
                return cheapest
            good = values <= levels[min(len(levels) - 1, int(way * len(levels)))]
            return options[np.arange(len(options)), np.where(good, costs, np.inf).argmin(1)]

        for position in (van_der_corput(slot), 1.0):
            choices = largest_that_fits(space.candidates, limits_at(space, position), at)
            if choices is not None:
                return choices
        raise AssertionError("run has checked that some plan keeps the budget")


def greedy() -> Sampler:
    """Return the sampler ``greedy``."""
    return WithoutRepeats(GreedySampler())


def _options(space: Space) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each layer's options in the table (L, T), cheapest first, dense last, and their costs (L, T)."""
    candidates = space.candidates
    limits = limits_at(space, 1.0)
    dense = np.array([candidates.dense[metric] for metric in limits], float)
    shares = (candidates.changes[:, :, candidates.columns(limits)] / dense).sum(2)
    rows, prices = [], []
    for layer, size in enumerate(candidates.sizes):
        change = shares[layer, :size]
        kept = 1 - change / change.min() if change.min() < 0 else np.ones(size)  # 0 at the cheapest, 1 at dense
        row = [int(np.argmin(change)), *(int(np.abs(kept - s).argmin()) for s in SHARES), int(size) - 1]
        rows.append(row)
        prices.append(change[row])
    return np.array(rows), np.array(prices)


def _scores(history: History, options: NDArray[np.int64], slot: int) -> list[list[float | None]]:
    """Return the table (L, T - 1), made where it is not in the study yet; None where there is no score."""
    problem, study = history.problem, history.study
    candidates: Candidates = problem.space.candidates

    def stored() -> dict[str, list[float | None]]:
        return study._storage.get_study_system_attrs(study._study_id).get(KEY, {})

    order = np.random.default_rng(problem.seed_of(slot)).permutation(len(candidates.names))
    for layer in order.tolist():  # other workers take other layers
        if (name := candidates.names[layer]) not in stored():
            rows = np.repeat(candidates.dense_choices[None], options.shape[1] - 1, 0)
            rows[:, layer] = options[layer, :-1]
            scores = [problem.factorized_score(problem.space.plan(choices)) for choices in rows]
            study._storage.set_study_system_attr(study._study_id, KEY, {**stored(), name: scores})
    table = stored()
    return [table[name] for name in candidates.names]
