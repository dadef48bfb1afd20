"""A few features of the layers: the directions in which the model expects layers to differ."""

from __future__ import annotations

import numpy as np

from ...space.arrays import Array
from ...space.candidates import Candidates

DIRECTION_STD, ROLE_STD = 1.0, 0.5
"""Standard deviations of the prior of a direction and of a role, in logarithms of an error's weight.

Tuned on all models of ``benchmarks/search.py``.
"""


def layer_features(candidates: Candidates) -> tuple[Array, Array]:
    """Return each layer's features ``(L, F)``, scaled to about ±1, and the standard deviations of their prior ``(F,)``.

    They are: depth, its square, the logarithm of the number of parameters, being first, being last, and for every last
    part of a name that several layers share (``q_proj``) whether it is the layer's.
    """
    layers = [candidates.costs.layers[name] for name in candidates.names]
    depth = np.linspace(-1, 1, len(layers)) if len(layers) > 1 else np.zeros(1)
    size = np.log([layer.params for layer in layers])
    size = (size - size.mean()) / (np.abs(size - size.mean()).max() or 1.0)
    first, last = np.eye(len(layers))[0], np.eye(len(layers))[-1]
    ends = [name.rpartition(".")[2] for name in candidates.names]
    roles = sorted({end for end in ends if not end.isdecimal() and 1 < ends.count(end) < len(ends)})
    directions = [depth, depth**2 - 0.5, size, first, last]
    has_role = [np.array([float(end == role) for end in ends]) for role in roles]
    std = [DIRECTION_STD] * len(directions) + [ROLE_STD] * len(has_role)
    return np.column_stack(directions + has_role), np.array(std)
