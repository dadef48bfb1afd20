"""The rule ``zero_sum``: components are dropped one by one so that the loss, to first order, stays where it is.

ZS-SVD (Abbasi et al., ICML 2026). Dropping one component of a layer's ``svd`` changes the calibration loss by about
its slope, of either sign. While the sum of what was dropped is positive, the next is one that lowers the loss, else one
that raises it, always the smallest of them; in a layer the component of least energy goes first. Ranks come out
unequal by themselves. Of the kinds it uses ``svd`` alone, as published.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np

from ..space.arrays import Array, Choices
from ..space.candidates import Candidates
from .knapsack import knapsack

KIND = "svd"


def zero_sum(candidates: Candidates, limits: Mapping[str, float]) -> Choices | None:
    """Return the choices at which dropping comes within the limits; the knapsack's where it never does."""
    dropped = _Dropped(candidates)
    choices = candidates.dense_choices.copy()
    sums = candidates.costs_of(choices[None])
    while True:
        if all(sums[metric][0] <= limit for metric, limit in limits.items()) and candidates.fits(choices, limits)[0]:
            return choices
        layer = dropped.next()
        if layer is None:
            return knapsack(candidates, limits)
        option = dropped.option(layer)
        if option != choices[layer]:
            for column, metric in enumerate(candidates.metrics):
                sums[metric][0] += (
                    candidates.changes[layer, option, column] - candidates.changes[layer, choices[layer], column]
                )
            choices[layer] = option


class _Dropped:
    """How many components every layer has left, and which goes next."""

    def __init__(self, candidates: Candidates) -> None:
        slopes = candidates.slopes
        self.slopes: list[Array] = [slopes.get(name, np.zeros(0)) for name in candidates.names]
        """For every layer, what dropping each component adds to the loss, that of most energy first."""
        self.left = [len(each) for each in self.slopes]
        self.sum = 0.0
        self._options = [_options(candidates, layer, left) for layer, left in enumerate(self.left)]
        self._raising: list[tuple[float, int]] = []
        self._lowering: list[tuple[float, int]] = []
        for layer in range(len(self.slopes)):
            self._offer(layer)

    def option(self, layer: int) -> int:
        """Return the place of the option with as many components as are left, or of the next smaller one."""
        return int(self._options[layer][self.left[layer]])

    def next(self) -> int | None:
        """Drop a component; return its layer, None where none is left."""
        wanted, other = (self._lowering, self._raising) if self.sum > 0 else (self._raising, self._lowering)
        heap = wanted or other
        if not heap:
            return None
        _, layer = heapq.heappop(heap)
        self.left[layer] -= 1
        self.sum += float(self.slopes[layer][self.left[layer]])
        self._offer(layer)
        return layer

    def _offer(self, layer: int) -> None:
        left = self.left[layer]
        if left and self._options[layer][left - 1] >= 0:
            slope = float(self.slopes[layer][left - 1])
            heapq.heappush(self._raising if slope > 0 else self._lowering, (abs(slope), layer))


def _options(candidates: Candidates, layer: int, full: int) -> Choices:
    """Return for 0 … ``full`` components the place of the largest option of so many at most; -1 where there is none.

    While no option has as many, the layer is dense.
    """
    ranks = {c.rank: n for n, c in enumerate(candidates.options[layer]) if c.kind == KIND and isinstance(c.rank, int)}
    places = np.full(full + 1, -1)
    for rank in range(1, full + 1):
        places[rank] = ranks.get(rank, places[rank - 1])
    if ranks:
        places[max(ranks) + 1 :] = candidates.dense_choices[layer]
    return places
