"""Two networks compute the same where every tensor is near, and equal where it is not finite."""

from __future__ import annotations

import math

import pytest
import torch

from rankfront.objectives.model.same import same

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.complex64])
@pytest.mark.parametrize("odd", [-INF, INF, NAN])
def test_what_is_not_finite_hides_nothing(odd: float, dtype: torch.dtype) -> None:
    def of(*values: float) -> list[torch.Tensor]:
        return [torch.tensor(values).to(dtype)]

    assert same(of(odd, 1, 2), of(odd, 1, 2.0005), 1e-3)
    assert not same(of(odd, 1, 2), of(odd, 1, 5), 1e-3)
    assert not same(of(odd, 1, 2), of(0, 1, 2), 1e-3)
    assert not same(of(0, 1, 2), of(odd, 1, 2), 1e-3)
    assert not same(of(odd, 1, 2), of(1, odd, 2), 1e-3)
    assert not same(of(odd, 1), of(INF if odd != INF else -INF, 1), 1e-3)


def test_whole_numbers_and_empty_tensors() -> None:
    assert same([torch.tensor([1, 2]), torch.zeros(0)], [torch.tensor([1, 2]), torch.zeros(0)], 0.0)
    assert not same([torch.tensor([1, 2])], [torch.tensor([1, 3])], 0.0)
