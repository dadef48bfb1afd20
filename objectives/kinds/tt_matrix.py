"""The TT-matrix of a Linear (Novikov et al., "Tensorizing neural networks", 2015), in two cores.

Inputs and outputs are reshaped to two modes each, the factors of their number nearest its square root
(784 = 28 · 28, 1024 = 32 · 32, 10 = 2 · 5), and the weight ``(m1 m2, n1 n2)``, rearranged to ``(m1 n1, m2 n2)``,
is decomposed by TT-SVD, which with two cores is one SVD. The moments of reshaped inputs do not factorize, so the cores
have the least error of the *weight*; the error of the output is computed (see `tt_cores`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from ..calibration.moments import Moments, Statistic
from ..model.layer import Layer
from ..model.stand_in import WeightStandIn
from ..plan import Rank, as_int
from .error import rounded_all
from .factors import filled
from .kind import Cost, worthwhile
from .tt_cores import cores_of, output_errors, weight_errors

LARGEST = 4096
"""Inputs beyond which their moments (128 MiB) are not gathered: the error is then the weight's."""

ERROR_RANKS = 32
"""Number of ranks whose error is computed, evenly spaced in their logarithm: it limits the computing time."""


class TTLinear(WeightStandIn):
    """``(…, n1 · n2) → (…, m1 · m2)`` through two cores: Linear(n1 → m1 · r), Linear(r · n2 → m2)."""

    def __init__(self, modes: tuple[int, int, int, int], rank: int, bias: bool, like: Tensor) -> None:
        super().__init__()
        m1, m2, n1, n2 = modes
        self.modes = modes
        self.rank = rank
        self.first = nn.Linear(n1, m1 * rank, bias=False, device="meta", dtype=like.dtype)
        self.last = nn.Linear(rank * n2, m2, bias=False, device="meta", dtype=like.dtype)
        self.bias = nn.Parameter(torch.empty(m1 * m2, device="meta", dtype=like.dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``Σ_r G1[m1, n1, r] G2[r, m2, n2] x[…, n1, n2]``, reshaped, plus the bias."""
        m1, _, n1, n2 = self.modes
        t = self.first(x.unflatten(-1, (n1, n2)).transpose(-1, -2))  # (…, n2, m1 · r)
        t = t.unflatten(-1, (m1, self.rank)).transpose(-3, -2).transpose(-2, -1)  # (…, m1, r, n2)
        y = self.last(t.flatten(-2)).flatten(-2)  # (…, m1 · m2)
        return y if self.bias is None else y + self.bias


@final
class TTMatrix:
    """The kind `tt` for Linears; ranks are integers."""

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return whether the numbers of inputs and of outputs are products of two factors greater than 1."""
        m1, _, n1, _ = modes(layer)
        if m1 > 1 and n1 > 1:
            return True, ""
        return False, "its number of inputs or outputs is a prime, which has no two factors"

    def full_rank(self, layer: Layer) -> int:
        """Return ``min(m1 · n1, m2 · n2)``."""
        m1, m2, n1, n2 = modes(layer)
        return min(m1 * n1, m2 * n2)

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return ``rank · (m1 n1 + m2 n2)`` parameters plus the bias; the cores run n2 and m1 times a position."""
        m1, m2, n1, n2 = modes(layer)
        first, last = m1 * n1 * as_int(rank), m2 * n2 * as_int(rank)
        return Cost(first + last + layer.bias_params, 2 * layer.positions * (n2 * first + m1 * last))

    def width(self, layer: Layer, rank: Rank) -> int:
        """Return ``rank · m1 · n2``, at most the Linear's own."""
        m1, _, _, n2 = modes(layer)
        return min(layer.width, as_int(rank) * m1 * n2)

    def skeleton(self, layer: Layer, rank: Rank) -> TTLinear:
        """Return the cores, on the meta device."""
        return TTLinear(modes(layer), as_int(rank), layer.module.bias is not None, layer.module.weight)

    def blocks(self, layer: Layer) -> int:
        """Return ``m1``: the first core gives ``(m1, rank)``."""
        return modes(layer)[0]

    def wants(self, layer: Layer) -> Statistic | None:
        """Return ``inputs``, but of a very wide Linear nothing."""
        return "inputs" if layer.in_features <= LARGEST else None

    def decompose(self, layer: Layer, moments: Moments | None) -> TTMatrixDecomposition:
        """Decompose the rearranged weight, and compute the output's error at some ranks."""
        sizes = modes(layer)
        m1, m2, n1, n2 = sizes
        blocks = layer.module.weight.detach().view(m1, m2, n1, n2).permute(0, 2, 1, 3)
        # Rearranged in the layer's own precision: so no second copy in float64 is made.
        table = blocks.reshape(m1 * n1, m2 * n2).double()
        cores = cores_of(table)
        ranks = np.unique(np.geomspace(1, len(cores.last), ERROR_RANKS).round().astype(int)).tolist()
        if moments is None:
            mean, errors = table.new_zeros(layer.in_features), weight_errors(table, cores, ranks)
        else:
            mean, second = moments.mean, moments.about(mean=layer.module.bias is not None)
            weight, multiply = layer.grouped_weight[0], functools.partial(product, sizes)
            errors = output_errors(weight, second, cores, multiply, ranks, moments.metric)
        return TTMatrixDecomposition(layer, cores.first, cores.last, torch.tensor(ranks), errors, mean)

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> TTMatrixDecomposition:
        """Rebuild from the cached cores."""
        device = layer.module.weight.device
        names = ("first", "last", "worked_out", "errors", "mean")
        return TTMatrixDecomposition(layer, *(tensors[name].to(device) for name in names))


def modes(layer: Layer) -> tuple[int, int, int, int]:
    """Return ``(m1, m2, n1, n2)``: ``m1 · m2`` outputs, ``n1 · n2`` inputs, the smaller factor first."""

    def split(n: int) -> tuple[int, int]:
        first = next(d for d in range(math.isqrt(n), 0, -1) if n % d == 0)
        return first, n // first

    return (*split(layer.out_features), *split(layer.in_features))


def product(modes: tuple[int, int, int, int], first: Tensor, last: Tensor) -> Tensor:
    """Return the weight ``(m1 m2, n1 n2)`` of cores ``(m1 n1, r)`` and ``(r, m2 n2)``."""
    m1, m2, n1, n2 = modes
    return (first @ last).view(m1, n1, m2, n2).permute(0, 2, 1, 3).reshape(m1 * m2, n1 * n2)


@final
class TTMatrixDecomposition:
    """Cores ``(m1 n1, k)`` and ``(k, m2 n2)``, the ranks whose error was computed, the mean input."""

    def __init__(
        self, layer: Layer, first: Tensor, last: Tensor, worked_out: Tensor, errors: Tensor, mean: Tensor
    ) -> None:
        self.layer = layer
        self.first = first
        self.last = last
        self.mean = mean
        self._errors: dict[Rank, float] = dict(zip(worked_out.tolist(), rounded_all(errors), strict=True))

    def ranks(self) -> Sequence[Rank]:
        """Return the computed ranks that are worthwhile."""
        return worthwhile(MATRIX, self.layer, self._errors)

    def error(self, rank: Rank) -> float:
        """Return the error of the output at a rank whose error was computed."""
        return self._errors[rank]

    def factors(self, rank: Rank) -> nn.Module:
        """Return the two cores as one module."""
        m1, m2, n1, n2 = modes(self.layer)
        r = as_int(rank)
        first, last = self.first[:, :r].double(), self.last[:r].double()
        missing = self.layer.grouped_weight[0] - product((m1, m2, n1, n2), first, last)
        weights = first.view(m1, n1, r).transpose(1, 2), last.view(r, m2, n2).transpose(0, 1)
        return filled(self.layer, MATRIX.skeleton(self.layer, r), weights, missing @ self.mean.double())

    def tensors(self) -> dict[str, Tensor]:
        """Return what the cache keeps."""
        return {
            "first": self.first.float(),
            "last": self.last.float(),
            "worked_out": torch.tensor(list(self._errors)),
            "errors": torch.tensor(list(self._errors.values()), dtype=torch.float64),
            "mean": self.mean.float(),
        }


MATRIX = TTMatrix()
