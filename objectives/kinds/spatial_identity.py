"""``spatial-identity``: `spatial` with an identity block on the centre tap, for kernels of three columns.

The centre column of ``k`` outputs is a copy of the first ``k`` channels in between; that of the others is a 1×1
convolution of all channels. The two side columns are one 1×2 convolution of twice the dilation, ``side``. With ``z``
the vertical factor's output:

    y = side(z) + concat(z[:k], rest(z))[order],    rank · (in · kh + 3 · out) − rank · k parameters.

``k`` is the largest number of outputs at which all coefficients are small (see `centre_block`). It is mostly
``min(rank, out)``, and smaller where ``rank`` is close to ``out``. The identity block is made after `refit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from ..calibration.moments import Moments, Statistic
from ..model.layer import Layer
from ..model.stand_in import Chain
from ..plan import Rank, as_tuple
from . import spatial
from .centre_block import centre_block
from .factors import convolution, last_map
from .identity import IdentityBlock, order_of, plain_factors
from .kind import Cost, Decomposition, worthwhile


class CentreIdentity(IdentityBlock):
    """``(N, in, H, W) → (N, out, H', W')``; ``z = first(x)``, ``y = side(z) + concat(z[:k], rest(z))[order]``."""

    if TYPE_CHECKING:  # TorchScript reads annotations, and this one is a text to it
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
        kept = centre.narrow(-3, 0, self.kept)
        y = kept if self.rest is None else torch.cat((kept, self.rest(centre)), -3)
        return self.side(z) + y.index_select(-3, self.order)

    @torch.no_grad()
    def plain(self) -> Chain:
        """Return what kind ``spatial`` has at this rank."""
        side, channels = self.side, self.side.in_channels
        unit = torch.eye(self.kept, channels, dtype=side.weight.dtype, device=side.weight.device)
        others = () if self.rest is None else (last_map(self.rest).weight.flatten(1),)
        centre = torch.cat([unit, *others])[self.order]
        taps = torch.stack((side.weight[:, :, 0, 0], centre, side.weight[:, :, 0, 1]), -1)
        options: dict[str, Any] = {
            "stride": side.stride,
            "padding": side.padding,
            "dilation": (1, side.dilation[1] // 2),
            "bias": side.bias is not None,
            "padding_mode": side.padding_mode,
        }
        like = {"device": "meta", "dtype": side.weight.dtype}
        last = nn.Conv2d(channels, side.out_channels, (1, 3), **options, **like)
        return plain_factors(self.first, last, taps, side.bias)


@final
class SpatialIdentity:
    """``rank = (r, k)``: r channels in between, k outputs in the identity block."""

    name = "spatial-identity"
    base = "spatial"

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return whether `spatial` applies, with three columns padded so that the centre one meets every output."""
        applies, reason = spatial.KIND.applies(layer)
        if not applies:
            return False, reason
        m = layer.module
        assert isinstance(m, nn.Conv2d)
        same = m.padding == "same" or (not isinstance(m.padding, str) and m.padding[1] == m.dilation[1])
        if m.kernel_size[1] == 3 and same:
            return True, ""
        return False, "its kernel does not have three columns, centred by padding"

    def smallest(self, layer: Layer) -> tuple[int, int]:
        """Return (1, 1)."""
        return 1, 1

    def full_rank(self, layer: Layer) -> tuple[int, int]:
        """Return `spatial`'s, with a block of one output."""
        return spatial.KIND.full_rank(layer), 1

    def accepts(self, layer: Layer, rank: Rank) -> tuple[bool, str]:
        """Return whether it is a pair: r up to `spatial`'s full rank, k up to r and to the number of outputs."""
        full = spatial.KIND.full_rank(layer)
        if isinstance(rank, tuple) and len(rank) == 2:
            r, k = rank
            if 1 <= r <= full and 1 <= k <= min(r, layer.out_features):
                return True, ""
        return False, f"a pair [r, k] with r from 1 to {full} and k from 1 to r and to {layer.out_features}"

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return `spatial`'s, less ``r · k`` parameters and as many multiply-adds a position."""
        r, k = as_tuple(rank)
        params, flops = spatial.KIND.cost(layer, r)
        return Cost(params - r * k, flops - 2 * layer.positions * r * k)

    def width(self, layer: Layer, rank: Rank) -> int:
        """Return that of `spatial`."""
        return spatial.KIND.width(layer, self.inner(rank))

    def skeleton(self, layer: Layer, rank: Rank) -> CentreIdentity:
        """Return the modules, on the meta device."""
        m = layer.module
        assert isinstance(m, nn.Conv2d)
        r, k = as_tuple(rank)
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
        """Return the ranks worth proposing, each with its largest block of small coefficients (see `block_sizes`)."""
        assert isinstance(decomposition, spatial.SpatialDecomposition)
        errors: dict[Rank, float] = {(r, k): decomposition.error(r) for r, k in decomposition.blocks.tolist()}
        return worthwhile(self, layer, errors)

    def inner(self, rank: Rank) -> int:
        """Return r."""
        return as_tuple(rank)[0]

    def blocks(self, layer: Layer) -> int:
        """Return that of `spatial`."""
        return spatial.KIND.blocks(layer)

    @torch.no_grad()
    def condense(self, layer: Layer, rank: Rank, factors: nn.Module) -> CentreIdentity:
        """Make the centre taps of ``k`` outputs the first ``k`` channels in between."""
        vertical, horizontal = factors.get_submodule("0"), last_map(factors)
        assert isinstance(vertical, nn.Conv2d) and isinstance(horizontal, nn.Conv2d)
        _, k = as_tuple(rank)
        block = self.skeleton(layer, rank).to_empty(device=vertical.weight.device)
        filters = vertical.weight.double().flatten(1)  # (r, in · kh)
        taps = horizontal.weight.double()[:, :, 0]  # (out, r, 3)
        _, rows, change, inverse = centre_block(taps, k)
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


KIND = SpatialIdentity()
