"""The types of the arrays that rules and samplers work on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Errors, costs, values: float64, of the shape that is said where it is used."""

Choices = NDArray[np.int64]
"""(L,): the place of each layer's option in `Candidates.options`."""
