"""Moments keep their digits whatever the mean."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfront import DENSE, FineTune, Plan, Task
from rankfront.objectives.calibration.calibrate import calibrate
from rankfront.objectives.calibration.moments import MomentSums
from rankfront.objectives.calibration.patches import input_rows, output_rows
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.data.split import Split
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.objective import Objective


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


UNBATCHED: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(16, 24), (16,)),
    "square": (nn.Linear(16, 16), (16,)),
    "conv1d": (nn.Conv1d(3, 8, 3), (3, 9)),
    "conv2d": (nn.Conv2d(3, 8, 3, padding=1), (3, 9, 9)),
    "conv2d, as high as wide as deep": (nn.Conv2d(4, 4, 1), (4, 4, 4)),
    "conv3d": (nn.Conv3d(2, 8, 2), (2, 4, 4, 4)),
    "transposed": (nn.ConvTranspose2d(3, 8, 2), (3, 5, 5)),
}


@pytest.mark.parametrize("name", UNBATCHED)
def test_a_layer_called_with_a_single_sample_sees_its_rows(name: str) -> None:
    module, shape = UNBATCHED[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if not isinstance(module, nn.ConvTranspose2d):
        rows = input_rows(module, x)
        torch.testing.assert_close(rows, input_rows(module, x[None]))
        assert rows.shape[2] == module.weight[0].numel()
    outputs = module(x)
    torch.testing.assert_close(output_rows(module, outputs), output_rows(module, outputs[None]))
    assert output_rows(module, outputs).shape[2] == len(module.bias)


class OneByOne(nn.Module):
    """Images one by one, and a condition that is one vector."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.condition = nn.Parameter(torch.randn(16))
        self.conv, self.of_condition, self.head = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        found = torch.stack([self.conv(image).mean((1, 2)) for image in images])
        return self.head(found * self.of_condition(self.condition))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "stored"])
def test_models_that_pass_single_samples_run_trials(kind: str) -> None:
    data = torch.randn(32, 3, 6, 6), torch.arange(32) % 4
    task = Task(OneByOne(), data, data, kinds=(kind,), calibration=16, finetune=FineTune(steps=1))
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    plan = Plan({name: options[0] for name, options in objective.decompositions.options.items()})
    assert len(set(plan.values()) - {DENSE}) > 0
    outcome = objective(plan, 0)
    assert outcome.metrics == objective.costs.of(plan)
