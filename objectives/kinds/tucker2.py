"""``tucker2``: a k×k convolution becomes 1×1, k×k, 1×1 through ``(r_in, r_out)`` channels.

Kim et al., "Compression of deep convolutional neural networks for fast and low power mobile applications",
2016: HOSVD of the channel modes, then sweeps of HOOI, here for the least error in the *output*: the input's
channels by the map from one pixel to all it adds to, whitened by the pixels' moments; the outputs by their
principal components. ``r_in`` determines ``r_out``: the least rank whose error in the outputs is at most that of the
input's mode (error balance).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from ..calibration.moments import Moments, Statistic
from ..model.layer import Layer
from ..model.stand_in import Chain
from ..plan import Rank, as_tuple
from .error import rank_that_leaves, rounded_all
from .factors import convolution, filled
from .kind import Cost, Factorization, worthwhile
from .patch_moments import Factors, PatchMoments

KNOBS = 10
"""Number of values of ``r_in`` that are computed, evenly spaced in their logarithm: it limits the computing time."""

SWEEPS = 1
"""Sweeps of HOOI after HOSVD. Every sweep costs as much as the first, and further ones change little."""


@final
class Tucker2(Factorization):
    """``(in, out, k…) → (in, r_in, 1…), (r_in, r_out, k…), (r_out, out, 1…)``; rank is ``(r_in, r_out)``."""

    name = "tucker2"

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return whether it is a convolution in one group whose kernel has more than one pixel."""
        if layer.transposed:
            return False, "it is a transposed convolution"
        applies = isinstance(layer.module, _ConvNd) and layer.groups == 1 and math.prod(layer.kernel) > 1
        return (True, "") if applies else (False, "it is no k×k convolution in one group")

    def full_rank(self, layer: Layer) -> tuple[int, int]:
        """Return ``(min(in, out · kernel), min(out, in · kernel))``."""
        out, channels, *kernel = layer.module.weight.shape
        return min(channels, out * math.prod(kernel)), min(out, channels * math.prod(kernel))

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return ``in · r_in + r_in · r_out · kernel + r_out · out`` parameters, the first at every input pixel."""
        r_in, r_out = as_tuple(rank)
        first = layer.module.weight.shape[1] * r_in
        rest = r_in * r_out * math.prod(layer.kernel) + r_out * layer.out_features
        return Cost(first + rest + layer.bias_params, 2 * (layer.input_positions * first + layer.positions * rest))

    def skeleton(self, layer: Layer, rank: Rank) -> Chain:
        """Return the three modules, on the meta device."""
        m = layer.module
        assert isinstance(m, _ConvNd)
        r_in, r_out = as_tuple(rank)
        return Chain(
            convolution(m, m.in_channels, r_in, axes=(), bias=False),
            convolution(m, r_in, r_out, bias=False),
            convolution(m, r_out, m.out_channels, axes=(), bias=m.bias is not None),
        )

    def wants(self, layer: Layer) -> Statistic:
        """Return ``inputs``: whole patches."""
        return "inputs"

    def decompose(self, layer: Layer, moments: Moments | None) -> Tucker2Decomposition:
        """Compute the factors for every pair of ranks that `knobs` returns."""
        patches = PatchMoments(layer, moments)
        found: dict[tuple[int, int], Factors] = {}
        errors: list[float] = []
        for r_in, r_out in [(1, 1), *knobs(patches)]:
            factors, _, error = hooi(patches, r_in, r_out)
            rank = len(factors.inner), factors.outer.shape[1]  # few outputs leave nothing for more channels to do
            if rank not in found:
                found[rank] = factors._replace(outer=patches.unweighed(factors.outer))
                errors.append(error)
        return Tucker2Decomposition(layer, found, torch.tensor(errors, dtype=torch.float64), patches.mean)

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> Tucker2Decomposition:
        """Rebuild from the cached factors."""
        device = layer.module.weight.device
        errors, mean = (tensors[name].to(device) for name in ("errors", "mean"))
        found = {}
        for n in range(len(errors)):
            factors = Factors(*(tensors[f"{name}.{n}"].to(device) for name in Factors._fields))
            found[len(factors.inner), factors.outer.shape[1]] = factors
        return Tucker2Decomposition(layer, found, errors, mean)


def knobs(patches: PatchMoments) -> list[tuple[int, int]]:
    """Return the pairs (r_in, r_out) to compute: the error of the outputs' mode is at most that of the input's."""
    full_in, full_out = KIND.full_rank(patches.layer)
    every_output = torch.eye(len(patches.kernel), dtype=patches.kernel.dtype, device=patches.kernel.device)
    pairs = []
    for r_in in np.unique(np.geomspace(1, full_in, KNOBS).round().astype(int)).tolist():
        inner = patches.channels[:r_in]
        lost = patches.error(Factors(inner, patches.on_channels(inner), every_output), patches.main_features(r_in))
        r_out = rank_that_leaves(patches.output_tail, lost) if r_in < full_in else full_out
        pairs.append((r_in, min(full_out, max(1, r_out))))
    return pairs


def hooi(patches: PatchMoments, r_in: int, r_out: int, sweeps: int = SWEEPS) -> tuple[Factors, Tensor, float]:
    """Return HOSVD's factors after so many sweeps, the moments of their channels' patches, and their error.

    In a sweep each mode is found anew, given the other.
    """
    inner, features = patches.channels[:r_in], patches.main_features(r_in)
    whole = patches.on_channels(inner)
    outer = patches.main_outputs(whole, features, r_out)
    for _ in range(sweeps):
        inner = patches.main_channels(torch.einsum("oik,op->pik", patches.kernel, outer))[:r_in]
        whole, features = patches.on_channels(inner), patches.features(inner)
        outer = patches.main_outputs(whole, features, r_out)
    factors = Factors(inner, torch.einsum("oik,op->pik", whole, outer), outer)
    return factors, features, patches.error(factors, features)


@final
class Tucker2Decomposition:
    """Factors by rank, in ascending order, with their errors ``(knobs,)``; the mean patch ``(in · kernel,)``."""

    def __init__(self, layer: Layer, found: Mapping[tuple[int, int], Factors], errors: Tensor, mean: Tensor) -> None:
        self.layer = layer
        self.found = dict(found)
        self.mean = mean
        self._errors: dict[Rank, float] = dict(zip(found, rounded_all(errors), strict=True))

    def ranks(self) -> list[Rank]:
        """Return the computed ranks that are worthwhile."""
        return worthwhile(KIND, self.layer, self._errors)

    def error(self, rank: Rank) -> float:
        """Return the error of the output."""
        return self._errors[rank]

    def factors(self, rank: Rank) -> Chain:
        """Return the three convolutions."""
        layer = self.layer
        r_in, r_out = as_tuple(rank)
        factors = Factors(*(t.double() for t in self.found[r_in, r_out]))
        lost = (layer.grouped_weight[0] - factors.product().flatten(1)) @ self.mean.double()
        return filled(layer, KIND.skeleton(layer, rank), factors, lost)

    def tensors(self) -> dict[str, Tensor]:
        """Return what the cache keeps."""
        kept = {"errors": torch.tensor(list(self._errors.values()), dtype=torch.float64), "mean": self.mean}
        for n, factors in enumerate(self.found.values()):
            kept |= {f"{name}.{n}": value.float() for name, value in factors._asdict().items()}
        return kept


KIND = Tucker2()
