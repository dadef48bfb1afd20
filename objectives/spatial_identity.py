"""``spatial-identity``: `spatial` with an identity block on the centre tap, for kernels of three columns.

``k`` of the outputs take the centre column straight from the first ``k`` channels in between, the others by a
1×1 convolution from all; the two side columns are one convolution with a gap. With ``z`` the vertical factor's
output and ``side`` the 1×2 convolution of twice the dilation:

    y = side(z) + concat(z[:k], rest(z))[order],    rank · (in · kh + 3 · out) − rank · k parameters.

``k`` is the largest number of outputs whose centre taps condition the block well (pivoted QR, halved until
no coefficient exceeds `GROWTH`): mostly all ``min(rank, out)``; fewer where ``rank`` comes close to ``out``.
Taken after `refit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

from . import spatial
from .factors import convolution, last_map
from .identity import order_of
from .kind import Cost, Decomposition, Moments, Statistic, worthwhile
from .layer import Layer
from .plan import Rank, several

GROWTH = 8.0
"""Largest magnitude of a horizontal coefficient, the vertical factor's being an orthonormal basis."""

PROPOSED = 40
"""How many ranks are proposed at most: for each the block's size is to be found."""


class CentreIdentity(nn.Module):
    """``(N, in, H, W) → (N, out, H', W')``; ``z = first(x)``, ``y = side(z) + concat(z[:k], rest(z))[order]``."""

    order: Tensor

    def __init__(self, first: nn.Module, side: nn.Conv2d, rest: nn.Module | None, kept: int, step: int) -> None:
        super().__init__()
        self.first = first
        self.rest = rest
        self.side = side
        self.kept = kept
        self.step = step
        self.register_buffer("order", torch.empty(side.out_channels, dtype=torch.int32, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of the side columns and the centre one."""
        z = self.first(x)
        centre = z[..., :: self.step] if self.step > 1 else z
        kept = centre[:, : self.kept]
        y = kept if self.rest is None else torch.cat((kept, self.rest(centre)), 1)
        return self.side(z) + y.index_select(1, self.order)


@final
class SpatialIdentity:
    """``rank = (r, k)``: r channels in between, k outputs in the identity block."""

    name = "spatial-identity"
    base = "spatial"

    def refuses(self, layer: Layer) -> str:
        """It takes what `spatial` takes, with three columns, padded so that the centre one meets every output."""
        if reason := spatial.KIND.refuses(layer):
            return reason
        m = layer.module
        assert isinstance(m, nn.Conv2d)
        same = m.padding == "same" or (not isinstance(m.padding, str) and m.padding[1] == m.dilation[1])
        return "" if m.kernel_size[1] == 3 and same else "its kernel has not three columns, centred by padding"

    def smallest(self, layer: Layer) -> tuple[int, int]:
        """Return (1, 1)."""
        return 1, 1

    def full_rank(self, layer: Layer) -> tuple[int, int]:
        """Return `spatial`'s, with a block of one output."""
        return spatial.KIND.full_rank(layer), 1

    def impossible(self, layer: Layer, rank: Rank) -> str:
        """Ranks are pairs: r up to `spatial`'s full rank, and k up to r and out."""
        full = spatial.KIND.full_rank(layer)
        if isinstance(rank, tuple) and len(rank) == 2:
            r, k = rank
            if 1 <= r <= full and 1 <= k <= min(r, layer.out_features):
                return ""
        return f"a pair [r, k] with r from 1 to {full} and k from 1 to r and to {layer.out_features}"

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return `spatial`'s, less ``r · k`` parameters and as many multiply-adds a position."""
        r, k = several(rank)
        params, flops = spatial.KIND.cost(layer, r)
        return Cost(params - r * k, flops - 2 * layer.positions * r * k)

    def skeleton(self, layer: Layer, rank: Rank) -> CentreIdentity:
        """Return the modules, on the meta device."""
        m = layer.module
        assert isinstance(m, nn.Conv2d)
        r, k = several(rank)
        out = m.out_channels
        first = convolution(m, m.in_channels, r, axes=(0,), bias=False)
        side = nn.Conv2d(
            r,
            out,
            (1, 2),
            (1, m.stride[1]),
            m.padding if isinstance(m.padding, str) else (0, m.padding[1]),
            (1, 2 * m.dilation[1]),
            bias=m.bias is not None,
            padding_mode=m.padding_mode,
            device="meta",
            dtype=m.weight.dtype,
        )
        rest = convolution(m, r, out - k, axes=(), bias=False) if k < out else None
        return CentreIdentity(first, side, rest, k, m.stride[1])

    def wants(self, layer: Layer) -> Statistic:
        """Return what `spatial` wants."""
        return spatial.KIND.wants(layer)

    def decompose(self, layer: Layer, moments: Moments | None) -> spatial.SpatialDecomposition:
        """Return `spatial`'s."""
        return spatial.KIND.decompose(layer, moments)

    def ranks(self, layer: Layer, decomposition: Decomposition) -> Sequence[Rank]:
        """Return up to `PROPOSED` ranks, evenly in their logarithm, each with the largest block that is sound."""
        assert isinstance(decomposition, spatial.SpatialDecomposition)
        full = spatial.KIND.full_rank(layer)
        wanted = np.unique(np.geomspace(1, full, PROPOSED).round().astype(int)).tolist()
        errors: dict[Rank, float] = {}
        for r in wanted:
            taps = decomposition.components[:, :r].view(layer.out_features, 3, r).permute(0, 2, 1)
            errors[r, _block(taps.double())[0]] = decomposition.error(r)
        return worthwhile(self, layer, errors)

    def inner(self, rank: Rank) -> int:
        """Return r."""
        return several(rank)[0]

    @torch.no_grad()
    def condense(self, layer: Layer, rank: Rank, factors: nn.Module) -> CentreIdentity:
        """Make the centre taps of ``k`` outputs the first ``k`` channels in between."""
        vertical, horizontal = factors.get_submodule("0"), last_map(factors)
        assert isinstance(vertical, nn.Conv2d) and isinstance(horizontal, nn.Conv2d)
        r, k = several(rank)
        block = self.skeleton(layer, rank).to_empty(device=vertical.weight.device)
        filters = vertical.weight.double().flatten(1)  # (r, in · kh)
        taps = horizontal.weight.double()[:, :, 0]  # (out, r, 3)
        _, rows, change, inverse = _block(taps, k)
        taps = torch.einsum("ort,rs->ost", taps, inverse)
        assert isinstance(block.first, nn.Conv2d)
        block.first.weight.copy_((change @ filters).view_as(block.first.weight))
        others, order = order_of(rows, layer.out_features)
        if block.rest is not None:
            assert isinstance(block.rest, nn.Conv2d)
            block.rest.weight.copy_(taps[others, :, 1].view_as(block.rest.weight))
        block.side.weight.copy_(taps[:, :, None, [0, 2]])
        if block.side.bias is not None and horizontal.bias is not None:
            block.side.bias.copy_(horizontal.bias)
        block.order.copy_(order)
        return block

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> spatial.SpatialDecomposition:
        """Return `spatial`'s."""
        return spatial.KIND.restore(layer, tensors)


def _block(taps: Tensor, size: int | None = None) -> tuple[int, Tensor, Tensor, Tensor]:
    """Choose the block's outputs.

    Args:
        taps: ``(out, r, 3)``.
        size: of the block; the largest sound one if not given.

    Returns:
        Its size k, the outputs ``(k,)`` ascending, ``T (r, r)`` whose first k rows are their centre taps, ``T⁻¹``.
    """
    matrix = taps.cpu().numpy()
    centre = matrix[:, :, 1]
    _, _, pivots = scipy.linalg.qr(centre.T, mode="economic", pivoting=True)
    k = min(centre.shape) if size is None else size
    while True:
        rows = np.sort(pivots[:k])
        # The other channels: an orthonormal basis of what the block's rows do not span.
        orthogonal, triangular = scipy.linalg.qr(centre[rows].T)
        change = np.concatenate((centre[rows], orthogonal[:, k:].T))
        if size is None and k > 1 and np.abs(np.diag(triangular)).min() < 1e-9:
            k = max(1, k // 2)
            continue
        inverse = np.linalg.pinv(change) if np.abs(np.diag(triangular)).min() < 1e-12 else np.linalg.inv(change)
        if size is not None or k == 1 or np.abs(np.einsum("ort,rs->ost", matrix, inverse)).max() <= GROWTH:
            break
        k = max(1, k * 3 // 4)
    on = taps.device
    return k, torch.from_numpy(rows).to(on), torch.from_numpy(change).to(on), torch.from_numpy(inverse).to(on)


KIND = SpatialIdentity()
