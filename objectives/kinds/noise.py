"""Estimate the share of a weight that is noise, by empirical variational Bayesian matrix factorization (EVBMF).

The model is a matrix of low rank plus Gaussian noise. Given the noise's variance, a closed form separates signal from
noise among the singular values. The variance is the one of least free energy (Nakajima, Sugiyama, Babacan & Tomioka,
JMLR 2013 and NIPS 2012). Kim et al. (ICLR 2016) choose ranks by this method.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.layer import Layer
from .error import DIGITS

Array = NDArray[np.float64]

GRID = 100
"""Number of variances on the grid, evenly spaced in their logarithm, whose best point is then refined."""


def noise_share(layer: Layer) -> float:
    """Return the share of a layer's squared weights that is noise by EVBMF, over all its groups."""
    weights = layer.grouped_weight.cpu()
    rows, columns = weights.shape[1:]
    noise = 0.0
    for weight in weights if rows <= columns else weights.mT:
        squares = torch.linalg.eigvalsh(weight @ weight.T).flip(0).clamp(min=0).numpy()
        noise += squares[evbmf_rank(squares, weight.shape[1]) :].sum()
    return round(noise / max(float(weights.square().sum()), 1e-300), DIGITS)


def evbmf_rank(squares: Array, columns: int) -> int:
    """Return the number of singular values that are signal.

    Args:
        squares: (L,) all squared singular values of an L × M matrix, L <= M, in descending order.
        columns: M.
    """
    from scipy.optimize import minimize_scalar

    rows = len(squares)
    alpha = rows / columns
    edge = 2.5129 * np.sqrt(alpha)
    limit = (1 + edge) * (1 + alpha / edge)  # squares above limit · M · variance are signal
    if squares[0] <= 0:
        return 0
    squares = squares / squares.mean()

    def energy(log_variance: float) -> float:
        """Return the free energy, up to a constant, for a logarithm of the noise's variance."""
        x = squares / (columns * np.exp(log_variance))
        small, large = x[x <= limit], x[x > limit]
        tau = 0.5 * (large - (1 + alpha) + np.sqrt((large - (1 + alpha)) ** 2 - 4 * alpha))
        signal = (large - tau + np.log((tau + 1) / large) + alpha * np.log(tau / alpha + 1)).sum()
        return float((small - np.log(np.maximum(small, 1e-300))).sum() + signal)

    most = min(int(np.ceil(rows / (1 + alpha))) - 1, rows - 1)
    upper = squares.sum() / (rows * columns)
    lower = max(squares[most] / (columns * limit), squares[most:].mean() / columns, 1e-12 * upper)
    grid = np.linspace(np.log(lower), np.log(upper), GRID)  # the energy has several valleys
    best = int(np.argmin([energy(point) for point in grid]))
    around = (grid[max(0, best - 1)], grid[min(GRID - 1, best + 1)])
    log_variance = minimize_scalar(energy, bounds=around, method="bounded").x
    return int((squares > limit * columns * np.exp(log_variance)).sum())
