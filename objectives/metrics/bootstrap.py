"""Intervals of scores that are computed from sums: a bootstrap over blocks of samples.

A split is cut into blocks of samples of about equal number, and what the score is computed from is summed over each.
Then blocks are drawn with replacement, as many as there are, again and again; the score of each such split comes from
the drawn blocks' sums. The interval is the percentile one (Efron, Annals of Statistics 1979).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
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
    """The sums of a split's blocks, in the order in which they came.

    Their place in memory is taken once: small tensors that stay, between large ones that go, would break it up.
    """

    def __init__(self) -> None:
        self._sums: Sums = {}
        self._whole = 0
        self._pieces, self._pieces_a_block = 0, 1

    def add(self, sums: Sums) -> None:
        """Add the sums over some more samples."""
        if not self._sums:
            self._sums = {name: part.new_zeros(2 * MOST, *part.shape) for name, part in sums.items()}
        for name, part in sums.items():
            self._sums[name][self._whole] += part
        self._pieces += 1
        if self._pieces < self._pieces_a_block:
            return
        self._whole, self._pieces = self._whole + 1, 0
        if self._whole == 2 * MOST:
            for blocks in self._sums.values():
                blocks[:MOST] = blocks[::2] + blocks[1::2]
                blocks[MOST:] = 0
            self._whole, self._pieces_a_block = MOST, 2 * self._pieces_a_block

    def interval(self, value_of: Callable[[Sums], float], confidence: float) -> tuple[float, float] | None:
        """Return the interval of a score; None where the blocks are too few, or the score mostly is not finite.

        Args:
            value_of: returns the score, given the sums over a whole split.
            confidence: such as 0.95.
        """
        count = self._whole + (self._pieces > 0)
        if count < LEAST:
            return None
        blocks = {name: sums[:count] for name, sums in self._sums.items()}
        draws = np.random.default_rng(SEED).multinomial(count, [1 / count] * count, RESAMPLES)
        values = np.array([value_of({name: _weighted(sums, draw) for name, sums in blocks.items()}) for draw in draws])
        values = values[np.isfinite(values)]
        if len(values) < RESAMPLES / 2:
            return None
        low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)


def _weighted(sums: Tensor, times: NDArray[np.int64]) -> Tensor:
    weights = torch.as_tensor(times, dtype=torch.float64, device=sums.device)
    return torch.tensordot(weights, sums.double(), 1).to(sums.dtype)
