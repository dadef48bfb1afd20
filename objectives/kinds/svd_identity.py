"""``svd-identity``: `svd` with an identity block, ``(in + out − rank) · rank`` parameters: see `identity`.

``rank`` of the layer's outputs are those of the first factor; the other outputs are linear combinations of them. Every
rank below ``min(in, out)`` saves parameters. The identity block is made after `refit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..calibration.moments import Moments, Statistic
from ..model.layer import Layer
from ..plan import Rank, as_int
from . import svd
from .factors import convolution
from .identity import Identity, order_of, well_conditioned_rows
from .kind import Cost, Decomposition


@final
class SvdIdentity:
    """``rank`` outputs, and the others from them: ``(in, out) → (in, rank), (rank, out − rank)``."""

    name = "svd-identity"
    base = "svd"

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return whether there is more than one output a group: a single output has no others to compute from it."""
        if layer.transposed:
            return False, "it is a transposed convolution"
        applies, reason = svd.KIND.applies(layer)
        if applies and layer.out_features // layer.groups == 1:
            return False, "it has a single output"
        return applies, reason

    def smallest(self, layer: Layer) -> int:
        """Return 1."""
        return 1

    def full_rank(self, layer: Layer) -> int:
        """Return ``min(in, out)``, of one group."""
        return svd.KIND.full_rank(layer)

    def accepts(self, layer: Layer, rank: Rank) -> tuple[bool, str]:
        """Return whether the rank is an integer from 1 to the full rank."""
        return svd.KIND.accepts(layer, rank)

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return ``rank · (groups · in + out − groups · rank)`` parameters plus the bias; 2 flops per weight."""
        r = as_int(rank)
        weights = r * (layer.groups * layer.in_features + layer.out_features - layer.groups * r)
        return Cost(weights + layer.bias_params, 2 * layer.positions * weights)

    def width(self, layer: Layer, rank: Rank) -> int:
        """Return that of `svd`."""
        return svd.KIND.width(layer, self.inner(rank))

    def skeleton(self, layer: Layer, rank: Rank) -> Identity:
        """Return the modules, on the meta device."""
        m, r, out = layer.module, as_int(rank), layer.out_features
        bias = m.bias is not None
        if isinstance(m, nn.Linear):
            like = {"device": "meta", "dtype": m.weight.dtype}
            rest = nn.Linear(r, out - r, bias, **like) if r < out else None
            return Identity(nn.Linear(m.in_features, r, bias, **like), rest, out, -1)
        kept = r * m.groups
        first = convolution(m, m.in_channels, kept, groups=m.groups, bias=bias)
        rest = convolution(m, kept, out - kept, axes=(), groups=m.groups, bias=bias) if kept < out else None
        return Identity(first, rest, out, -1 - len(m.kernel_size))

    def wants(self, layer: Layer) -> Statistic:
        """Return what `svd` wants."""
        return svd.KIND.wants(layer)

    def decompose(self, layer: Layer, moments: Moments | None) -> svd.SvdDecomposition:
        """Return `svd`'s."""
        return svd.KIND.decompose(layer, moments)

    def ranks(self, layer: Layer, decomposition: Decomposition) -> Sequence[Rank]:
        """Return all ranks below the full one."""
        return range(1, min(layer.in_features, layer.out_features // layer.groups))

    def inner(self, rank: Rank) -> Rank:
        """Return ``rank``."""
        return rank

    def blocks(self, layer: Layer) -> int:
        """Return that of `svd`."""
        return svd.KIND.blocks(layer)

    @torch.no_grad()
    def condense(self, layer: Layer, rank: Rank, factors: nn.Module) -> Identity:
        """Replace the channels in between by ``rank`` outputs of each group."""
        first, last = factors.get_submodule("0"), factors.get_submodule("1")
        assert isinstance(first, (nn.Linear, _ConvNd)) and isinstance(last, (nn.Linear, _ConvNd))
        block = self.skeleton(layer, rank).to_empty(device=first.weight.device)
        groups, r = layer.groups, as_int(rank)
        inner = first.weight.double().reshape(groups, r, -1)
        outer = last.weight.double().reshape(groups, -1, r)
        size = outer.shape[1]
        bias = None if last.bias is None else last.bias.double().view(groups, size)
        kept, others, weights, shifts = [], [], [], []
        for group, (basis, matrix) in enumerate(zip(outer, inner, strict=True)):
            rows = well_conditioned_rows(basis)
            rest, _ = order_of(rows, size)
            coefficients = torch.linalg.solve(basis[rows].T, basis[rest].T).T
            kept.append(rows + group * size)
            others.append(rest + group * size)
            weights.append((basis[rows] @ matrix, coefficients))
            if bias is not None:
                shifts.append((bias[group, rows], bias[group, rest] - coefficients @ bias[group, rows]))
        for index, part in enumerate(block.maps()):
            part.weight.copy_(torch.cat([pair[index] for pair in weights]).view_as(part.weight))
            if part.bias is not None:
                part.bias.copy_(torch.cat([pair[index] for pair in shifts]))
        block.order.copy_(torch.cat(kept + others).argsort())
        return block

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> svd.SvdDecomposition:
        """Return `svd`'s."""
        return svd.KIND.restore(layer, tensors)


KIND = SvdIdentity()
