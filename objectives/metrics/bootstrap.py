"""Intervals of scores that are computed from sums: a bootstrap over blocks of samples.

A split is cut into blocks of samples of about equal number, and what the score is computed from is summed over each.
Then blocks are drawn with replacement, as many as there are, again and again; the score of each such split comes from
the drawn blocks' sums. The interval is the percentile one (Efron, Annals of Statistics 1979).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

RESAMPLES = 200
"""So many splits are drawn: the 2.5 and 97.5 % quantiles then vary little."""

LEAST, MOST = 8, 64
"""Of fewer blocks a bootstrap says nothing; at twice as many as `MOST` neighbours are added up, to limit memory."""

SEED = 0
"""Of the draws: the same network always has the same interval."""

Sums = dict[str, Tensor]
"""What a score is computed from, by name: sums over samples."""


class Blocks:
    """The sums of a split's blocks, in the order in which they came."""

    def __init__(self) -> None:
        self._sums: list[Sums] = []
        self._open: Sums | None = None
        self._pieces, self._pieces_a_block = 0, 1

    def add(self, sums: Sums) -> None:
        """Add the sums over some more samples."""
        self._open = sums if self._open is None else _added(self._open, sums)
        self._pieces += 1
        if self._pieces < self._pieces_a_block:
            return
        self._sums.append(self._open)
        self._open, self._pieces = None, 0
        if len(self._sums) == 2 * MOST:
            self._sums = [_added(*pair) for pair in zip(self._sums[::2], self._sums[1::2], strict=True)]
            self._pieces_a_block *= 2

    def interval(self, value_of: Callable[[Sums], float], confidence: float) -> tuple[float, float] | None:
        """Return the interval of a score; None where the blocks are too few, or the score mostly is not finite.

        Args:
            value_of: returns the score, given the sums over a whole split.
            confidence: such as 0.95.
        """
        blocks = self._sums if self._open is None else [*self._sums, self._open]
        if len(blocks) < LEAST:
            return None
        stacked = {name: torch.stack([block[name] for block in blocks]) for name in blocks[0]}
        draws = np.random.default_rng(SEED).multinomial(len(blocks), [1 / len(blocks)] * len(blocks), RESAMPLES)
        values = np.array([value_of({name: _weighted(t, draw) for name, t in stacked.items()}) for draw in draws])
        values = values[np.isfinite(values)]
        if len(values) < RESAMPLES / 2:
            return None
        low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)


def _added(one: Sums, other: Sums) -> Sums:
    return {name: one[name] + other[name] for name in one}


def _weighted(stacked: Tensor, times: np.ndarray) -> Tensor:
    weights = torch.as_tensor(times, dtype=torch.float64, device=stacked.device)
    return torch.tensordot(weights, stacked.double(), 1).to(stacked.dtype)
