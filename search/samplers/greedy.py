"""The greedy rule of AIMET: a table of one layer at a time, then one score that all layers keep.

Every layer by itself is compressed to a few shares of its cost and the network scored, untrained. A plan then takes in
every layer the cheapest choice whose score is at least a common one, and bisection finds the highest such score that
fits (Qualcomm's AIMET, "greedy selection of compression ratios"; see also Cai et al., 2020, on its cost).
"""

from __future__ import annotations

from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial

from ...objectives.plan import DENSE, Plan
from ..allocation.rules import largest
from ..space.limits import limits_at, spread
from .proposer import Proposer

KEY = "rankfront:greedy"
"""The study's system attribute with the table: layer → scores."""

SHARES = tuple(n / 10 for n in range(1, 10))
"""AIMET's ten ratios, the last of which is dense."""


@final
class GreedySampler(Proposer):
    """The rule at the budget first, then below it; the table is made once and kept in the study."""

    def propose(self, study: Study, trial: FrozenTrial, slot: int, seed: int) -> Plan:
        """Return the plan of the highest common score at the slot's point."""
        candidates = self.space.candidates
        tried, costs = self._tried
        scores = np.full(tried.shape, np.inf)  # dense, the last of a row, scores infinitely well
        for layer, row in enumerate(self._table(study, seed)):
            scores[layer, : len(row)] = row
        cheapest = tried[:, 0]
        levels = np.unique(scores[np.isfinite(scores)])

        def at(knob: float) -> NDArray[np.int64]:
            if knob <= 0:
                return cheapest
            fine = scores >= levels[min(len(levels) - 1, int(knob * len(levels)))]
            return tried[np.arange(len(tried)), np.where(fine, costs, np.inf).argmin(1)]

        for reach in (spread(slot), 1.0):
            plan = largest(candidates, limits_at(self.space, reach), at)
            if plan is not None:
                return plan
        raise AssertionError("run has seen that some plan keeps the budget")

    @cached_property
    def _tried(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return each layer's choices in the table (L, T), cheapest first, dense last, and their costs (L, T)."""
        candidates = self.space.candidates
        limits = limits_at(self.space, 1.0)
        columns = [candidates.metrics.index(metric) for metric in limits]
        dense = np.array([candidates.costs.dense[metric] for metric in limits], float)
        shares = (candidates.changes[:, :, columns] / dense).sum(2)
        rows, prices = [], []
        for layer, size in enumerate(candidates.sizes):
            change = shares[layer, :size]
            kept = 1 - change / change.min() if change.min() < 0 else np.ones(size)  # 0 at the cheapest, 1 at dense
            picks = [int(np.argmin(change)), *(int(np.abs(kept - s).argmin()) for s in SHARES), int(size) - 1]
            rows.append(picks)
            prices.append(change[picks])
        return np.array(rows), np.array(prices)

    def _table(self, study: Study, seed: int) -> list[list[float | None]]:
        """Return the table (L, T - 1), made where it is not in the study yet; None where there is no score."""
        names = self.space.candidates.names

        def known() -> dict[str, list[float | None]]:
            return study._storage.get_study_system_attrs(study._study_id).get(KEY, {})

        for layer in np.random.default_rng(seed).permutation(len(names)).tolist():  # other workers take other layers
            if (name := names[layer]) not in known():
                choices = self.space.candidates.choices[layer]
                whole = dict.fromkeys(names, DENSE)
                *picks, _ = self._tried[0][layer].tolist()
                scores = [self.problem.bare(Plan({**whole, name: choices[p]})) for p in picks]
                study._storage.set_study_system_attr(study._study_id, KEY, {**known(), name: scores})
        table = known()
        return [table[name] for name in names]
