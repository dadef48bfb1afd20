"""``spatial``: a kh×kw convolution becomes kh×1, then 1×kw, through ``rank`` channels.

Jaderberg et al., "Speeding up convolutional neural networks with low rank expansions", 2014, whitened by the
input's vertical patches: the kernel as a map from vertical patches (in · kh) to what every column of the
image adds to its neighbours' outputs (out · kw) has principal components like any other (see `principal`).

The components are the best for each column by itself; ``error`` is the true one, of the sum over columns:
with ``R`` the part of the kernel that is left out, ``tr(L R C Rᵀ Lᵀ)``, ``C`` the moments of whole patches and ``L``
what an error of the outputs costs (see `output_metric`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from ..calibration.moments import Moments, Statistic
from ..model.layer import Layer
from ..model.stand_in import Chain
from ..plan import Rank, as_int
from .centre_block import block_sizes
from .error import FLOOR, rank_that_leaves, rounded_all
from .factors import convolution, filled
from .kind import Cost, Factorization, worthwhile
from .principal import principal


@final
class Spatial(Factorization):
    """A vertical, then a horizontal convolution: ``(in, out, kh, kw) → (in, rank, kh, 1), (rank, out, 1, kw)``."""

    name = "spatial"

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return whether it is a two-dimensional convolution in one group, of a kernel neither 1×k nor k×1."""
        if layer.transposed:
            return False, "it is a transposed convolution"
        applies = isinstance(layer.module, nn.Conv2d) and layer.groups == 1 and min(layer.kernel) > 1
        return (True, "") if applies else (False, "it is no k×k convolution in one group")

    def full_rank(self, layer: Layer) -> int:
        """Return ``min(in · kh, out · kw)``."""
        kw = layer.kernel[1]
        return min(layer.in_features // kw, layer.out_features * kw)

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return ``rank · (in · kh + out · kw)`` parameters plus the bias; the first factor sees all columns."""
        _, kw = layer.kernel
        first, last = as_int(rank) * layer.in_features // kw, as_int(rank) * layer.out_features * kw
        return Cost(first + last + layer.bias_params, 2 * (columns(layer) * first + layer.positions * last))

    def skeleton(self, layer: Layer, rank: Rank) -> Chain:
        """Return the two modules, on the meta device."""
        m, r = layer.module, as_int(rank)
        assert isinstance(m, nn.Conv2d)
        return Chain(
            convolution(m, m.in_channels, r, axes=(0,), bias=False),
            convolution(m, r, m.out_channels, axes=(1,), bias=m.bias is not None),
        )

    def blocks(self, layer: Layer) -> int:
        """Return 1."""
        return 1

    def wants(self, layer: Layer) -> Statistic:
        """Return ``inputs``: whole patches."""
        return "inputs"

    def decompose(self, layer: Layer, moments: Moments | None) -> SpatialDecomposition:
        """Find the principal components of what columns add to outputs, and the true error at every rank."""
        kh, kw = layer.kernel
        moments = moments or Moments.white(layer)
        weight = moments.metric.weigh(layer.grouped_weight).view(layer.out_features, -1, kh, kw)
        channels = weight.shape[1]
        table = weight.permute(0, 3, 1, 2).reshape(layer.out_features * kw, channels * kh)
        patches = moments.about(mean=layer.module.bias is not None)
        lags = patches.view(channels, kh, kw, channels, kh, kw).permute(2, 5, 0, 1, 3, 4)
        lags = lags.reshape(kw, kw, channels * kh, channels * kh)
        components, _ = principal(table, inputs=lags.diagonal(dim1=0, dim2=1).mean(-1))
        filters = components.T @ table  # (full, in · kh)
        taps = components.view(layer.out_features, kw, -1)
        gram = torch.zeros_like(filters @ filters.T)
        for i in range(kw):
            for j in range(kw):
                gram += (filters @ lags[i, j] @ filters.T) * (taps[:, i].T @ taps[:, j])
        left = gram.flip(0, 1).cumsum(0).cumsum(1).diagonal().flip(0).clamp_min(0)
        errors = torch.cat((left / left[0].clamp_min(torch.finfo(left.dtype).tiny), left.new_zeros(1)))
        # Beyond this rank not even the largest identity block saves parameters. Components beyond the numerical rank
        # are arbitrary: each CPU finds other ones.
        most = min(len(filters), layer.weights // (channels * kh + layer.out_features * (kw - 1)) + 1)
        most = min(most, max(1, rank_that_leaves(errors, FLOOR)))
        components = moments.metric.unweigh(components.reshape(1, layer.out_features, -1)).reshape(components.shape)
        taps = components.view(layer.out_features, kw, -1)
        blocks = block_sizes(taps.transpose(1, 2), most) if kw == 3 else torch.zeros(0, 2, dtype=torch.long)
        return SpatialDecomposition(layer, filters.float(), components.float(), errors, moments.mean.float(), blocks)

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> SpatialDecomposition:
        """Rebuild from the cached filters."""
        device = layer.module.weight.device
        names = ("filters", "components", "errors", "mean", "blocks")
        return SpatialDecomposition(layer, *(tensors[name].to(device) for name in names))


def columns(layer: Layer) -> float:
    """Return at how many places one input passes the vertical factor: output rows, input columns."""
    places = sum(shape.numel() // (layer.out_features * shape[-1]) * taken[-1] for taken, shape in layer.calls)
    return layer.per_input(places)


@final
class SpatialDecomposition:
    """A kernel's vertical filters and their principal components.

    ``filters (k, in · kh)``, ``components (out · kw, k)``, ``errors (k + 1,)``, ``mean (in · kh · kw,)`` patch, and
    ``blocks``: rows (rank, size) of what `spatial-identity` may take out.
    """

    def __init__(
        self, layer: Layer, filters: Tensor, components: Tensor, errors: Tensor, mean: Tensor, blocks: Tensor
    ) -> None:
        self.layer = layer
        self.filters = filters
        self.components = components
        self.errors = errors
        self.mean = mean
        self.blocks = blocks
        self._errors = rounded_all(errors)

    def ranks(self) -> list[Rank]:
        """Return all ranks that are worthwhile."""
        return worthwhile(KIND, self.layer, dict(enumerate(self._errors[1:], 1)))

    def error(self, rank: Rank) -> float:
        """Return the error of the output, the sum over columns."""
        return self._errors[as_int(rank)]

    def factors(self, rank: Rank) -> Chain:
        """Return the vertical and the horizontal convolution."""
        layer, r = self.layer, as_int(rank)
        kh, kw = layer.kernel
        out = layer.out_features
        first = self.filters[:r].view(r, -1, kh, 1)
        last = self.components[:, :r].view(out, kw, r).permute(0, 2, 1)
        whole = torch.einsum("rih,orw->oihw", first[..., 0], last).reshape(out, -1)
        lost = (layer.grouped_weight[0] - whole) @ self.mean.double()
        return filled(layer, KIND.skeleton(layer, rank), (first, last), lost)

    def tensors(self) -> dict[str, Tensor]:
        """Return what the cache keeps."""
        return {
            "filters": self.filters,
            "components": self.components,
            "errors": self.errors,
            "mean": self.mean,
            "blocks": self.blocks,
        }


KIND = Spatial()
