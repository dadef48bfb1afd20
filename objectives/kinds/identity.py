"""Identity blocks: remove the redundant parameters of a factorization.

A rank-r factorization ``y = U z`` stays the same under ``z → T z``, ``U → U T⁻¹``: r² of its parameters are
redundant. Choose r rows ``S`` of ``U`` and let ``T = U[S]``. Then those r outputs equal the channels ``z``, and the
other outputs are ``U' z`` with ``U' = U U[S]⁻¹``. The output is ``concat(z, U' z)`` in the original order.

The rows are chosen by pivoted QR. Then single rows are exchanged while an entry of ``U'`` exceeds `BOUND` in magnitude
(Goreinov et al., "How to find a good submatrix", 2010). So the entries of ``U'`` are small, and ``U[S]`` is well
conditioned.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..model.stand_in import Chain, StandIn
from .factors import convolution

BOUND = 1.5
"""Magnitude above which a coefficient has its row exchanged. At 1 the block's volume is largest; a bound above 1 needs
fewer exchanges."""

EXCHANGES = 500
"""Largest number of exchanges: it limits the computing time. Each one costs ``out · r`` operations."""


class IdentityBlock(StandIn):
    """What both kinds with an identity block are, so that it can be taken out again."""

    def plain(self) -> Chain:
        """Return two plain Linears or convolutions of the same function: more parameters, and nothing to reorder."""
        raise NotImplementedError


class Identity(IdentityBlock):
    """``(N, in, …) → (N, out, …)`` for convolutions, ``(…, in) → (…, out)`` for Linears.

    ``z = first(x)``; ``y = concat(z, rest(z))[order]`` along the channels; at full rank there is no rest.
    """

    if TYPE_CHECKING:  # TorchScript reads annotations, and this one is a text to it
        order: Tensor

    def __init__(self, first: nn.Module, rest: nn.Module | None, outputs: int, axis: int) -> None:
        super().__init__()
        self.first = first
        self.rest = rest
        self.axis = axis
        self.register_buffer("order", torch.empty(outputs, dtype=torch.int32, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``concat(z, rest(z))`` in order."""
        z = self.first(x)
        y = z if self.rest is None else torch.cat((z, self.rest(z)), self.axis)
        return y.index_select(self.axis, self.order)

    @torch.no_grad()
    def plain(self) -> Chain:
        """Return what kind ``svd`` has at this rank."""
        first, *others = self.maps()
        groups = first.groups if isinstance(first, _ConvNd) else 1
        like, outputs = first.weight, len(self.order)
        unit = torch.eye(len(like) // groups, dtype=torch.float64, device=like.device)
        rows = torch.cat([unit.repeat(groups, 1), *(part.weight.double().flatten(1) for part in others)])[self.order]
        shift = None
        if first.bias is not None:
            zeros = torch.zeros(len(like), dtype=torch.float64, device=like.device)
            added = torch.cat([zeros, *(part.bias.double() for part in others if part.bias is not None)])[self.order]
            size, inner = outputs // groups, first.bias.double().view(groups, -1)
            shift = torch.einsum("gor,gr->go", rows.view(groups, size, -1), inner).flatten() + added
        if isinstance(first, _ConvNd):
            last = convolution(first, len(like), outputs, axes=(), groups=groups, bias=shift is not None)
        else:
            last = nn.Linear(len(like), outputs, shift is not None, device="meta", dtype=like.dtype)
        alone = copy.copy(first)
        alone._parameters = {**first._parameters, "bias": None}
        return plain_factors(alone, last, rows, shift)

    def maps(self) -> list[nn.Linear | _ConvNd]:
        """Return its one or two Linears or convolutions."""
        return [part for part in (self.first, self.rest) if isinstance(part, (nn.Linear, _ConvNd))]


def plain_factors(first: nn.Module, last: nn.Linear | _ConvNd, weight: Tensor, bias: Tensor | None) -> Chain:
    """Return a first factor and a last one, made on the meta device, with this weight (of any shape) and bias."""
    last = last.to_empty(device=weight.device)
    last.weight.copy_(weight.reshape(last.weight.shape))
    if last.bias is not None and bias is not None:
        last.bias.copy_(bias)
    return Chain(first, last)


def well_conditioned_rows(tall: Tensor) -> Tensor:
    """Return r rows (indices, ascending) of ``tall (out, r)`` of which the other rows are combinations.

    The coefficients of these combinations are small.

    Raises:
        numpy.linalg.LinAlgError: ``tall`` is rank-deficient.
    """
    matrix = tall.double().cpu().numpy()
    rank = matrix.shape[1]
    rows = pivoted(matrix)[:rank]
    coefficients = np.linalg.solve(matrix[rows].T, matrix.T).T  # (out, r)
    for _ in range(EXCHANGES):
        row, column = divmod(int(np.abs(coefficients).argmax()), rank)
        largest = coefficients[row, column]
        if abs(largest) <= BOUND:
            break
        rows[column] = row
        change = coefficients[row].copy()
        change[column] -= 1.0
        coefficients -= np.outer(coefficients[:, column], change) / largest
    return torch.from_numpy(np.sort(rows)).to(tall.device)


def pivoted(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows (indices) of a matrix in the order in which pivoted QR takes them."""
    return np.array(scipy.linalg.qr(matrix.T, mode="r", pivoting=True)[-1], np.int64)


def order_of(selected: Tensor, outputs: int) -> tuple[Tensor, Tensor]:
    """Return the outputs that are not ``selected``, and the order that sorts ``concat(selected, others)``."""
    others = torch.ones(outputs, dtype=torch.bool, device=selected.device)
    others[selected] = False
    rest = others.nonzero().flatten()
    return rest, torch.cat((selected, rest)).argsort()
