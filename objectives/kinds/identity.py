"""Identity blocks: the redundant parameters of a factorization, taken out.

A rank-r factorization ``y = U z`` stays the same under ``z → T z``, ``U → U T⁻¹``: r² of its parameters are
redundant. With ``T = U[S]``, r rows of ``U``, those r outputs *are* the channels ``z``, and the others are
``U' z`` with ``U' = U U[S]⁻¹``: ``y = concat(z, U' z)``, put back in order.

Which rows: those that pivoted QR finds, then exchanged one by one while an entry of ``U'`` exceeds
`BOUND` in magnitude (Goreinov et al., "How to find a good submatrix", 2010). So ``U'`` is bounded, and
the block never badly conditioned.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

BOUND = 1.5
EXCHANGES = 500


class Identity(nn.Module):
    """``(N, in, …) → (N, out, …)`` for convolutions, ``(…, in) → (…, out)`` for Linears.

    ``z = first(x)``; ``y = concat(z, rest(z))[order]`` along the channels; at full rank there is no rest.
    """

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

    def maps(self) -> list[nn.Linear | _ConvNd]:
        """Return the one or two maps it is made of."""
        return [part for part in (self.first, self.rest) if isinstance(part, (nn.Linear, _ConvNd))]


def well_conditioned_rows(tall: Tensor) -> Tensor:
    """Return r rows (indices, ascending) of ``tall (out, r)`` in which the others have small coefficients.

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
    """Return the outputs that are not ``selected``, and the order that puts ``concat(selected, others)`` right."""
    others = torch.ones(outputs, dtype=torch.bool, device=selected.device)
    others[selected] = False
    rest = others.nonzero().flatten()
    return rest, torch.cat((selected, rest)).argsort()
