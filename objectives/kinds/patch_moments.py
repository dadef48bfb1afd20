"""The moments of the patches of a convolution's input; the errors of its factors are computed from them."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ..calibration.moments import Moments
from ..model.layer import Layer
from .principal import main_inputs, principal

SINGULAR = 1e-10
"""Eigenvalues of channels' moments below this share of the largest are rounding errors, and are taken as 0."""


class Factors(NamedTuple):
    """``inner (r_in, in)``, ``core (r_out, r_in, kernel)``, ``outer (out, r_out)``: the kernel is their product.

    ``outer`` has orthonormal columns, in the metric of the outputs' errors (see `output_metric`).
    """

    inner: Tensor
    core: Tensor
    outer: Tensor

    def product(self) -> Tensor:
        """Return the kernel ``(out, in, kernel)``."""
        return torch.einsum("pjk,ji,op->oik", self.core, self.inner, self.outer)


class PatchMoments:
    """``kernel (out, in, k)`` of one group, weighed, and the patches' moments ``(in · k)``, float64."""

    def __init__(self, layer: Layer, moments: Moments | None) -> None:
        self.layer = layer
        moments = moments or Moments.white(layer)
        self.metric = moments.metric
        weight = self.metric.weigh(layer.grouped_weight)[0]
        self.kernel = weight.view(layer.out_features, layer.module.weight.shape[1], -1)
        self.mean = moments.mean
        second = moments.about(mean=layer.module.bias is not None)
        _, channels, taps = self.kernel.shape
        self._blocks = second.view(channels, taps, channels, taps)
        self._pixels = self._blocks.diagonal(dim1=1, dim2=3).mean(-1)  # moments of one pixel's channels, (in, in)
        self.channels = self.main_channels(self.kernel)
        """The input's channels that matter most, ``(full_in, in)``."""
        self._against = weight @ second
        outputs = self._against @ weight.T
        self._energy = outputs.trace()
        self.total = self._energy.clamp_min(torch.finfo(weight.dtype).tiny)
        energy = principal(weight, outputs=outputs).energy
        self.output_tail = energy.flip(0).cumsum(0).flip(0) / self.total
        """Share of the outputs' energy outside the first r of their components, for r = 0, 1, …"""

    def main_channels(self, kernel: Tensor) -> Tensor:
        """Return the input's channels that matter most to ``kernel (any, in, k)``: ``(full_in, in)``."""
        return main_inputs(kernel.transpose(1, 2).reshape(-1, kernel.shape[1]), inputs=self._pixels)

    def on_channels(self, inner: Tensor) -> Tensor:
        """Return the kernel's best coefficients on channels ``inner (r, in)``, tap by tap: ``(out, r, k)``."""
        seen = inner @ self._pixels  # (r, in)
        gram = seen @ inner.T
        return torch.einsum("oik,ri,rs->osk", self.kernel, seen, torch.linalg.pinv(gram, rtol=SINGULAR, hermitian=True))

    def main_features(self, rank: int) -> Tensor:
        """Return `features` of the first of the `channels`."""
        kernel = self._blocks.shape[1]
        size = rank * kernel
        blocks = self._features_of_all.view(len(self.channels), kernel, len(self.channels), kernel)
        return blocks[:rank, :, :rank].reshape(size, size)

    @cached_property
    def _features_of_all(self) -> Tensor:
        return self.features(self.channels)

    def features(self, inner: Tensor) -> Tensor:
        """Return the moments of patches of the channels ``inner (r, in)``: ``(r · k, r · k)``."""
        half = torch.einsum("ri,ikjl->rkjl", inner, self._blocks)
        whole = torch.einsum("rkjl,sj->rksl", half, inner)
        size = whole.shape[0] * whole.shape[1]
        return whole.reshape(size, size)

    def main_outputs(self, whole: Tensor, features: Tensor, rank: int) -> Tensor:
        """Return the principal components of what ``whole (out, r, k)`` gives on such features, ``(out, rank)``."""
        table = whole.flatten(1)
        outputs = table @ features @ table.T
        _, vectors = torch.linalg.eigh((outputs + outputs.T) / 2)
        return vectors.flip(-1)[:, :rank]

    def unweighed(self, outer: Tensor) -> Tensor:
        """Return the last factor of the layer itself ``(out, r)``, given that of the weighed kernel."""
        return self.metric.unweigh(outer[None])[0]

    def error(self, factors: Factors, features: Tensor) -> float:
        """Return the relative squared error of the output with these factors, given `features` of their channels."""
        crossed = (factors.product().flatten(1) * self._against).sum()
        core = factors.core.flatten(1)
        own = ((core @ features) * core).sum()
        return float(((self._energy - 2 * crossed + own) / self.total).clamp_min(0))
