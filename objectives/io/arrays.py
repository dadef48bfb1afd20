"""NumPy arrays as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NARROWED = {"g": "d", "G": "D"}
"""Types that torch has none for: extended precision becomes double precision, of real and of complex numbers."""


def tensor_of(array: NDArray[Any]) -> Tensor:
    """Return a copy of an array of numbers, in whatever byte order, precision and strides, as a tensor on the CPU."""
    kind = np.dtype(NARROWED.get(array.dtype.char, array.dtype)).newbyteorder("=")
    return torch.from_numpy(array.astype(kind, order="C"))
