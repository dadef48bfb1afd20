"""``svd``: one linear map becomes two, through ``rank`` channels.

A Linear becomes Linear(in → rank), Linear(rank → out); a convolution becomes the same k×k convolution to
``rank`` channels, then a 1×1 convolution (Zhang et al., TPAMI 2016); a transposed convolution the same transposed
one to ``rank`` channels, then a 1×1 convolution. Of a grouped convolution each group is a map of its own, and gets
``rank`` channels of its own.

The factors are the principal components ``U`` of the outputs ``L y``, in the metric of what their errors cost (see
`principal`, `output_metric`): ``W`` becomes ``P_r Q_rᵀ W`` with ``P = L⁻¹ U``, ``Q = Lᵀ U``. Where the layer has a
bias, the outputs are centred first and ``(I − P_r Q_rᵀ) E[y]`` joins the bias: the least error over the second factor
and the bias together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from ..calibration.moments import Moments, Statistic
from ..calibration.output_metric import PLAIN
from ..model.layer import Layer
from ..model.stand_in import Chain
from ..plan import Rank, as_int
from .factors import convolution, filled
from .kind import Cost, Factorization, is_module
from .principal import principal
from .principal_decomposition import PrincipalDecomposition


@final
class Svd(Factorization):
    """Two linear maps through ``rank`` channels: ``(in, out) → (in, rank), (rank, out)``."""

    name = "svd"

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return whether it is a module: every linear map has an SVD."""
        return is_module(layer)

    def full_rank(self, layer: Layer) -> int:
        """Return ``min(in, out)``, of one group."""
        return min(layer.out_features // layer.groups, layer.in_features)

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return ``rank · (groups · in + out)`` parameters plus the bias, and 2 flops per weight and position."""
        first, last = as_int(rank) * layer.groups * layer.in_features, as_int(rank) * layer.out_features
        at = layer.input_positions if layer.transposed else layer.positions
        return Cost(first + last + layer.bias_params, 2 * (at * first + layer.positions * last))

    def skeleton(self, layer: Layer, rank: Rank) -> Chain:
        """Return the two modules, on the meta device."""
        m, r = layer.module, as_int(rank)
        like = {"device": "meta", "dtype": m.weight.dtype}
        bias = m.bias is not None
        if isinstance(m, nn.Linear):
            return Chain(
                nn.Linear(m.in_features, r, bias=False, **like), nn.Linear(r, m.out_features, bias=bias, **like)
            )
        first = convolution(m, m.in_channels, r * m.groups, groups=m.groups, bias=False)
        last = convolution(m, r * m.groups, m.out_channels, axes=(), groups=m.groups, bias=bias)
        return TransposedPair(first, last) if layer.transposed else Chain(first, last)

    def blocks(self, layer: Layer) -> int:
        """Return the number of groups; the transposed first factor has its channels in one."""
        return 1 if layer.transposed else layer.groups

    def wants(self, layer: Layer) -> Statistic:
        """Return ``outputs``; of a tall Linear the smaller ``inputs``: one is ``W · Wᵀ`` of the other."""
        return "inputs" if isinstance(layer.module, nn.Linear) and layer.out_features > layer.in_features else "outputs"

    def decompose(self, layer: Layer, moments: Moments | None) -> SvdDecomposition:
        """Find the principal components of each group's outputs."""
        metric = PLAIN if moments is None else moments.metric
        weight = metric.weigh(layer.grouped_weight)
        groups, out, _ = weight.shape
        mean = weight.new_zeros(groups, out, 1)
        second_moments: dict[str, Tensor] = {}
        if moments is not None:
            second = moments.about(mean=layer.module.bias is not None)
            if self.wants(layer) == "inputs":
                second_moments["inputs"] = second[None]
                mean = (weight[0] @ moments.mean).view_as(mean)
            else:
                blocks = second.view(groups, out, groups, out).diagonal(dim1=0, dim2=2)
                second_moments["outputs"] = metric.weigh_moments(blocks.permute(2, 0, 1))
                mean = metric.weigh(moments.mean.view_as(mean))
        found = principal(weight, **second_moments)
        first = torch.cat((found.components.mT @ weight, found.components.mT @ mean), -1)
        last, mean = metric.unweigh(found.components), metric.unweigh(mean)
        kept = torch.promote_types(layer.module.weight.dtype, torch.float32)
        return SvdDecomposition(layer, first.to(kept), last.to(kept), found.energy, mean.to(kept))

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> SvdDecomposition:
        """Rebuild from the cached components."""
        device = layer.module.weight.device
        return SvdDecomposition(layer, *(tensors[key].to(device) for key in ("first", "components", "energy", "mean")))


@final
class TransposedPair(Chain):
    """A transposed convolution and a 1×1 convolution, called as the transposed convolution is."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return ``(N, out, …)``; see ``nn.ConvTranspose2d`` for ``output_size``."""
        return self[1](self[0](input, output_size))


@final
class SvdDecomposition(PrincipalDecomposition):
    """The second factor at every rank, and ``first (groups, k, in + 1)``, whose last column is of the mean.

    ``mean`` is that of the outputs, ``(groups, out, 1)``.
    """

    def __init__(self, layer: Layer, first: Tensor, components: Tensor, energy: Tensor, mean: Tensor) -> None:
        super().__init__(layer, components, energy)
        self.first = first
        self.mean = mean

    def factors(self, rank: Rank) -> Chain:
        """Return ``y = P_r (Q_rᵀ W) x + b + (I − P_r Q_rᵀ) E[y]`` as two modules."""
        first, last = self.first[:, : as_int(rank)], self.components[:, :, : as_int(rank)]
        lost = (self.mean - last @ first[..., -1:]).flatten()
        return filled(self.layer, KIND.skeleton(self.layer, rank), (first[..., :-1], last), lost)

    def slopes(self, gradient: Tensor) -> Tensor:
        """Return what dropping each component does to a loss, to first order ``(k,)``.

        Args:
            gradient: of that loss in the weight, ``(groups, out, in)``.
        """
        first, last = self.first[..., :-1].to(gradient), self.components.to(gradient)
        return -((last.mT @ gradient) * first).sum((0, 2))

    def tensors(self) -> dict[str, Tensor]:
        """Return what the cache keeps."""
        return {"first": self.first, "components": self.components, "energy": self.energy, "mean": self.mean}


KIND = Svd()
