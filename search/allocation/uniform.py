"""The rule ``uniform``: the same share of every layer's parameters and flops."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...objectives.metrics.registry import LAYER_METRICS
from ..space.arrays import Choices
from ..space.candidates import Candidates
from .bisection import largest_that_fits


def uniform(candidates: Candidates, limits: Mapping[str, float]) -> Choices | None:
    """Return the choices that keep the same share of every layer, the largest share that fits."""
    layers = [candidates.costs.layers[name] for name in candidates.names]
    dense = np.array([[getattr(layer, metric) for metric in LAYER_METRICS] for layer in layers], float)
    changes = candidates.changes[:, :, candidates.columns(LAYER_METRICS)]
    # A layer that costs nothing in a metric has no share of it: an expert that no traced sample reaches.
    kept = np.where(dense[:, None, :] > 0, 1 + changes / dense.clip(1)[:, None, :], -np.inf).max(2)
    cheapest = np.where(np.isfinite(candidates.errors), kept, np.inf).argmin(1)

    def at(share: float) -> Choices:
        allowed = np.where(kept <= share, candidates.errors, np.inf)
        return np.where(np.isfinite(allowed).any(1), allowed.argmin(1), cheapest)

    return largest_that_fits(candidates, limits, at)
