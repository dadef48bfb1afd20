"""By how much more than the quadratic model says an error in one layer's output changes the network's outputs.

That model (see `output_metric`) takes errors at an output's positions as independent of each other and of the
gradients, and all that follows as linear. For Linears of a small perceptron it holds within a third up to an error of
0.7; errors of a convolution, which many positions share, change the outputs by up to twenty times what it says. So the
two are compared at a few errors of each layer (see `objectives.responses`), and between these the ratio is
interpolated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ERRORS = (0.05, 0.2, 0.5)
"""Relative errors near which a layer is tried; of very many layers the one in the middle alone."""

SAMPLES = 16
"""Samples at most that a layer is tried on."""

TRUST = 0.5
"""The power of a ratio that is believed, which few samples tell, in a network that is dense but for one layer.

Chosen among 0, 0.33, 0.5, 0.67 and 1: the networks' measured changes were least on EfficientNet-lite0 (25 and 15 % of
the parameters), and below those at 0 on digits (15 to 6 %).
"""


class Response(NamedTuple):
    """Relative errors of a layer's output, ascending, and the ratio of measured to predicted change there."""

    errors: tuple[float, ...]
    ratios: tuple[float, ...]

    def factor(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how much more than predicted these errors, of any shape, are taken to change the outputs."""
        return self.ratio(errors) ** TRUST

    def ratio(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the ratio at these errors, of any shape: linear in logarithms between those tried, else the nearest.

        >>> Response((0.01, 0.1), (1.0, 4.0)).ratio(np.array([0.0, 0.01, 0.1**1.5, 1.0])).round(6).tolist()
        [1.0, 1.0, 2.0, 4.0]
        """
        logs = np.log(np.maximum(errors, self.errors[0]))
        return np.exp(np.interp(logs, np.log(self.errors), np.log(self.ratios)))


def tries(layers: int, passes: int) -> tuple[tuple[float, ...], int]:
    """Return the errors near which every layer is tried, and on how many samples.

    Args:
        layers: their number.
        passes: how many passes of one sample all of it may take; where that is too little, one a layer is taken.

    >>> tries(50, 2048), tries(210, 256)
    (((0.05, 0.2, 0.5), 13), ((0.2,), 1))
    """
    errors = ERRORS if passes >= len(ERRORS) * layers else ERRORS[1:2]
    return errors, max(1, min(SAMPLES, passes // (len(errors) * layers)))
