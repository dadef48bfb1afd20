from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront import Choice, FineTune, Plan, Task
from rankfront.objectives.calibration.calibrate import calibrate
from rankfront.objectives.data.split import Split
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.kinds.svd import KIND
from rankfront.objectives.metrics.registry import measure
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.objective import Objective

AS_AUTOENCODER: dict[str, Any] = {
    "loss": nn.functional.mse_loss,
    "score": lambda outputs, targets: -float((outputs - targets).square().mean()),
    "calibration": 32,
    "finetune": FineTune(1),
}


def test_plain_is_the_truncated_svd() -> None:
    model = nn.Sequential(nn.Linear(10, 7))
    (layer,) = find_layers(model, torch.zeros(1, 10))
    module = KIND.decompose(layer, None).factors(3)
    product = module[1].weight @ module[0].weight
    u, s, v = torch.linalg.svd(model[0].weight)
    torch.testing.assert_close(product, (u[:, :3] * s[:3]) @ v[:3], rtol=1e-4, atol=1e-5)


def test_whitened_is_the_svd_of_weight_times_root_of_covariance() -> None:
    """The oracle is the definition: truncate the SVD of W C^½, fold C^-½ back."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(500, 10, generator=generator) @ torch.randn(10, 10, generator=generator)
    model = nn.Sequential(nn.Linear(10, 7, bias=False))
    (layer,) = find_layers(model, inputs[:1])
    batches = list(Split((inputs, inputs)).batches(50))
    module = KIND.decompose(layer, calibrate(model, {"": (layer, "outputs")}, batches)[""]).factors(3)
    values, vectors = torch.linalg.eigh((inputs.T @ inputs / len(inputs)).double())
    root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
    u, s, v = torch.linalg.svd(model[0].weight.double() @ root)
    expected = (u[:, :3] * s[:3]) @ v[:3] @ inverse
    torch.testing.assert_close((module[1].weight @ module[0].weight).double(), expected, rtol=1e-3, atol=1e-5)


def test_bias_takes_the_mean_of_what_is_cut_off() -> None:
    inputs = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * 0.1 + 3
    model = nn.Sequential(nn.Linear(6, 6))
    (layer,) = find_layers(model, inputs[:1])
    moments = calibrate(model, {"": (layer, "outputs")}, list(Split((inputs, inputs)).batches(50)))[""]
    outputs = KIND.decompose(layer, moments).factors(1)(inputs)
    torch.testing.assert_close(outputs.mean(0), model(inputs).mean(0), rtol=1e-4, atol=1e-4)


class Decoder(nn.Module):
    """Asks its transposed convolution for the size that the input had, as segmentation networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.ConvTranspose2d(12, 9, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x).relu(), output_size=x.shape[2:])


@pytest.mark.parametrize("size", [(8, 8), (7, 8)])
def test_a_transposed_convolution_is_asked_for_a_size_as_before(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model, x = Decoder().eval(), torch.randn(40, 3, *size)
    made = Objective(
        Task(model, (x, model(x).detach()), (x, model(x).detach()), **AS_AUTOENCODER), device=torch.device("cpu")
    )
    made.prepare()
    assert {layer.name for layer in made.layers} == {"down", "up"}
    layer = made.by_name["up"]
    full = made.factorize(Plan({"up": Choice("svd", KIND.full_rank(layer))}))
    torch.testing.assert_close(full(x), model(x), rtol=1e-4, atol=1e-5)
    for choice in made.decompositions.options["up"]:
        plan = Plan({"up": choice})
        assert made.costs.of(plan) == measure(made.factorize(plan), made.example)
    refused = {kind.name: kind.applies(layer) for kind in KINDS.values() if kind.name not in ("svd", "stored")}
    assert all(not applies and reason for applies, reason in refused.values())
