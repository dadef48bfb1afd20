"""Another CPU, simulated: decompositions that differ in their last bits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

NOISE = 1e-13
"""Relative to each eigenvalue, and 1e-15 of the largest: what LAPACKs differ by."""


@contextlib.contextmanager
def another_cpu(seed: int) -> Iterator[None]:
    """Perturb what torch's decompositions return, in float64, by `NOISE`."""
    generator = torch.Generator().manual_seed(seed)

    def noisy(values: Tensor) -> Tensor:
        relative, absolute = (torch.randn(values.shape, generator=generator, dtype=torch.float64) for _ in range(2))
        largest = values.abs().max() if values.numel() else 0.0
        return values * (1 + NOISE * relative) + 1e-15 * largest * absolute

    with pytest.MonkeyPatch.context() as patch:
        for name in ("eigh", "svd", "eigvalsh", "qr"):
            exact = getattr(torch.linalg, name)

            def perturbed(*args: Any, exact: Any = exact, **kwargs: Any) -> Any:
                found = exact(*args, **kwargs)
                if isinstance(found, Tensor):
                    return noisy(found)
                return type(found)([noisy(part) for part in found])

            patch.setattr(torch.linalg, name, perturbed)
        yield
