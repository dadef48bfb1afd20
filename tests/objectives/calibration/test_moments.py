"""Moments keep their digits whatever the mean."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfront.objectives.calibration.calibrate import calibrate
from rankfront.objectives.calibration.moments import MomentSums
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.data.split import Split
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import find_layers


@settings(max_examples=60)
@given(
    st.floats(0, 1e4),
    st.floats(1e-3, 1e3),
    st.integers(1, 12),
    st.integers(1, 60),
    st.integers(2, 6),
    st.integers(0, 99),
)
def test_are_those_of_the_rows_to_float32_whatever_offset_and_scale(
    offset: float, scale: float, size: int, samples: int, batches: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = scale * torch.randn(samples * batches, size, generator=generator) + scale * offset
    sums = MomentSums()
    for part in rows.chunk(batches):
        sums.add(part)
    found = sums.moments()
    exact = rows.double()
    assert found.samples == len(rows)
    torch.testing.assert_close(found.mean, exact.mean(0), rtol=1e-6, atol=1e-6 * scale)
    covariance = (exact - exact.mean(0)).T @ (exact - exact.mean(0)) / len(rows)
    # A first batch of one row is a few standard deviations off the mean, and so many digits are lost, but no more.
    torch.testing.assert_close(found.covariance, covariance, rtol=1e-4, atol=2e-5 * scale**2)
    torch.testing.assert_close(found.second, exact.T @ exact / len(rows), rtol=1e-6, atol=1e-4 * scale**2)


def test_about_the_mean_or_about_zero() -> None:
    sums = MomentSums()
    sums.add(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    moments = sums.moments()
    assert moments.about(mean=True).tolist() == [[1.0, 2.0], [2.0, 4.0]]
    assert moments.about(mean=False).tolist() == [[5.0, 10.0], [10.0, 20.0]]


@pytest.mark.parametrize("offset", [0, 30, 300, 3000])
@pytest.mark.parametrize("kind", ["svd", "svd-identity"])
@torch.no_grad()
def test_predicted_errors_are_the_measured_and_the_best_ones(kind: str, offset: float) -> None:
    """The oracle is the singular values of the centred outputs, in float64 from the data."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 48))
    mix = torch.randn(64, 64, generator=generator) * torch.logspace(0, -2, 64)
    x = torch.randn(1024, 64, generator=generator) @ mix.T + offset
    (layer,) = find_layers(model, x[:1])
    method = KINDS[kind]
    statistic = method.wants(layer)
    assert statistic is not None
    batches = list(Split((x, torch.zeros(1024))).batches(64))
    found = method.decompose(layer, calibrate(model, {"": (layer, statistic)}, batches)[""])
    exact = nn.functional.linear(x.double(), model[0].weight.double(), model[0].bias.double())
    energy = torch.linalg.svdvals(exact - exact.mean(0)).square()
    rounding = (torch.finfo(torch.float32).eps * float(exact.abs().max())) ** 2 * exact.numel() / float(energy.sum())

    def error_of(outputs: Tensor) -> float:
        return float((outputs - exact).square().sum() / energy.sum())

    for rank in (2, 8, 16, 32):
        best = float(energy[rank:].sum() / energy.sum())
        predicted = found.error(method.inner(rank))
        module = method.condense(layer, rank, found.factors(method.inner(rank))).double()
        assert predicted == pytest.approx(best, rel=1e-2, abs=10 * rounding)
        assert error_of(module(x.double())) == pytest.approx(best, rel=1e-2, abs=10 * rounding)


def test_sequences_first_count_as_many_positions_a_sample() -> None:
    class First(nn.Module):
        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.linear = linear

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

    model, x = First(nn.Linear(4, 3)), torch.randn(5, 300, 4)
    (layer,) = find_layers(model, x[:1])
    for statistic in ("inputs", "outputs"):
        found = [
            calibrate(model, {0: (layer, statistic)}, [Batch(inputs, torch.zeros(5), dim=dim)])[0]
            for inputs, dim in ((x, 0), (x.transpose(0, 1), 1))
        ]
        assert found[0].samples == found[1].samples == 5 * 256
        torch.testing.assert_close(found[0].covariance, found[1].covariance)
