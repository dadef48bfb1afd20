"""Choose the outputs of a horizontal convolution of three columns whose centre tap is replaced by an identity.

The centre taps ``(out, r)`` of k chosen outputs become the first k rows of a change of basis ``T`` of the r channels.
The other rows of ``T`` are an orthonormal basis of the complement. The new taps, ``taps · T⁻¹``, must stay small: large
coefficients that cancel lose precision in bf16 and int8.
"""

from __future__ import annotations

import contextlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .identity import pivoted

GROWTH = 8.0
"""Largest magnitude of a horizontal coefficient: it limits the bits lost to cancellation to 3."""

DIGITS = 6
"""Significant digits of a magnitude that is compared with `GROWTH`: CPUs differ in further ones."""

BLOCK_RANKS = 24
"""Number of ranks that blocks are computed for, evenly spaced in their logarithm: it limits the computing time."""


def block_sizes(taps: Tensor, largest: int) -> Tensor:
    """Return rows ``(r, k)``: for some ranks up to ``largest`` the size of the largest block of small coefficients.

    Ranks that have no such block are left out.

    Args:
        taps: ``(out, full, 3)``, the channels in the order in which they are kept.
        largest: the largest rank that is considered.
    """
    sizes: list[tuple[int, int]] = []
    for rank in np.unique(np.geomspace(1, largest, BLOCK_RANKS).round().astype(int)).tolist():
        with contextlib.suppress(np.linalg.LinAlgError):
            sizes.append((rank, centre_block(taps[:, :rank].double())[0]))
    return torch.tensor(sizes, dtype=torch.long).view(-1, 2)


def centre_block(taps: Tensor, size: int | None = None) -> tuple[int, Tensor, Tensor, Tensor]:
    """Choose the outputs of a block.

    Args:
        taps: ``(out, r, 3)``.
        size: of the block, however large its coefficients; if not given, the largest size at which they are small.

    Returns:
        The size k, the outputs ``(k,)`` ascending, ``T (r, r)`` whose first k rows are their centre taps, ``T⁻¹``.

    Raises:
        numpy.linalg.LinAlgError: the block of that size is singular; or, without a size, no block has small
            coefficients.
    """
    matrix = taps.cpu().numpy()
    centre = matrix[:, :, 1]
    pivots = pivoted(centre)
    k = min(centre.shape) if size is None else size
    while True:
        rows = np.sort(pivots[:k])
        # The other channels: an orthonormal basis of what the block's rows do not span.
        complement = np.linalg.qr(centre[rows].T, mode="complete").Q[:, k:]
        change = np.concatenate((centre[rows], complement.T))
        try:
            inverse = np.linalg.inv(change)
        except np.linalg.LinAlgError:
            if size is not None:
                raise
        else:
            if size is not None or _small(np.einsum("ort,rs->ost", matrix, inverse, optimize=True)):
                break
        if k == 1:
            raise np.linalg.LinAlgError("no centre taps of an output are large enough to divide by")
        k = k * 3 // 4
    on = taps.device
    return k, torch.from_numpy(rows).to(on), torch.from_numpy(change).to(on), torch.from_numpy(inverse).to(on)


def _small(coefficients: NDArray[np.float64]) -> bool:
    """Return whether no magnitude exceeds `GROWTH`, after rounding to `DIGITS`."""
    return float(f"{np.abs(coefficients).max():.{DIGITS}g}") <= GROWTH
