"""Which outputs of a horizontal convolution of three columns may take the centre one straight from its input.

The centre taps ``(out, r)`` of k chosen outputs become the first k rows of a change of basis ``T`` of the r
channels; the others span what is left. What the horizontal taps become, ``taps · T⁻¹``, must stay small:
bf16, int8 and fine-tuning forgive no large numbers that cancel.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .identity import pivoted

GROWTH = 8.0
"""Largest magnitude of a horizontal coefficient."""

PROPOSED = 24
"""How many ranks are looked at, evenly in their logarithm."""


def block_sizes(taps: Tensor, largest: int) -> Tensor:
    """Return rows ``(r, k)``: for some ranks up to ``largest`` the size of the largest sound block.

    Args:
        taps: ``(out, full, 3)``, the channels in the order in which they are kept.
        largest: rank worth looking at.
    """
    ranks = np.unique(np.geomspace(1, largest, PROPOSED).round().astype(int)).tolist()
    return torch.tensor([(r, centre_block(taps[:, :r].double())[0]) for r in ranks])


def centre_block(taps: Tensor, size: int | None = None) -> tuple[int, Tensor, Tensor, Tensor]:
    """Choose the outputs of a block.

    Args:
        taps: ``(out, r, 3)``.
        size: of the block, whatever its coefficients; the largest sound one if not given.

    Returns:
        The size k, the outputs ``(k,)`` ascending, ``T (r, r)`` whose first k rows are their centre taps, ``T⁻¹``.
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
            sound = np.abs(np.einsum("ort,rs->ost", matrix, inverse, optimize=True)).max() <= GROWTH
        except np.linalg.LinAlgError:
            if size is not None or k == 1:
                raise
        else:
            if sound or size is not None or k == 1:
                break
        k = k * 3 // 4 or 1
    on = taps.device
    return k, torch.from_numpy(rows).to(on), torch.from_numpy(change).to(on), torch.from_numpy(inverse).to(on)
