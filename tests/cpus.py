"""Another CPU, simulated: decompositions that differ in their last bits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

NOISE = 1e-13
"""Relative to each number, and 1e-15 of the largest: by so much the results of LAPACKs differ."""


@contextlib.contextmanager
def another_cpu(seed: int) -> Iterator[None]:
    """Perturb by `NOISE` what the decompositions of torch, NumPy and SciPy return, in float64.

    What returns indices gets a perturbed matrix, so that pivots between equal columns are other ones.
    """
    generator = torch.Generator().manual_seed(seed)

    def noisy(values: Any) -> Any:
        if isinstance(values, np.ndarray):
            return noisy(torch.from_numpy(values)).numpy()
        if isinstance(values, Tensor):
            relative, absolute = (torch.randn(values.shape, generator=generator, dtype=torch.float64) for _ in range(2))
            largest = values.abs().max() if values.numel() else 0.0
            return values * (1 + NOISE * relative) + 1e-15 * largest * absolute
        parts = [noisy(part) for part in values]
        return type(values)(*parts) if hasattr(values, "_fields") else type(values)(parts)

    def of_result(exact: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: noisy(exact(*args, **kwargs))

    def of_matrix(exact: Callable[..., Any]) -> Callable[..., Any]:
        return lambda matrix, *args, **kwargs: exact(noisy(matrix), *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        for library, names in (
            (torch.linalg, ("eigh", "svd", "eigvalsh", "qr", "pinv", "solve")),
            (np.linalg, ("qr", "inv", "solve")),
        ):
            for name in names:
                patch.setattr(library, name, of_result(getattr(library, name)))
        patch.setattr(scipy.linalg, "qr", of_matrix(scipy.linalg.qr))
        yield
