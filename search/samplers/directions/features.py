"""A few features of the layers: the directions in which the model expects layers to differ."""

from __future__ import annotations

import numpy as np

from ...space.arrays import Array
from ...space.candidates import Candidates


def layer_features(candidates: Candidates) -> Array:
    """Return each layer's features ``(L, 5)``, of about ±1.

    They are: depth, its square, the logarithm of the number of parameters, being first, being last.
    """
    layers = [candidates.costs.layers[name] for name in candidates.names]
    depth = np.linspace(-1, 1, len(layers)) if len(layers) > 1 else np.zeros(1)
    size = np.log([layer.params for layer in layers])
    size = (size - size.mean()) / (np.abs(size - size.mean()).max() or 1.0)
    first, last = np.eye(len(layers))[0], np.eye(len(layers))[-1]
    return np.column_stack([depth, depth**2 - 0.5, size, first, last])
