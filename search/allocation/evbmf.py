"""The rule ``evbmf``: relative errors in the proportion of each layer's noise.

EVBMF (see `noise`) says which share of a layer's weights is noise, without any budget. The rule keeps its comparison of
the layers, and scales the errors until the limits are kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..space.arrays import Choices
from ..space.candidates import Candidates
from .energy import largest_level

LEAST_NOISE = 1e-3
"""A layer's noise is taken for at least this share, so that no layer has to stay dense."""


def evbmf(candidates: Candidates, limits: Mapping[str, float]) -> Choices | None:
    """Return the choices whose errors are in the proportion of the layers' noise, the smallest errors that fit."""
    noise = np.maximum(candidates.noise, LEAST_NOISE)[:, None]
    return largest_level(candidates, limits, candidates.relative_errors / noise)
