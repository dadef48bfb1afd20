"""Slopes of the loss: against what dropping a component does to it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rankfront.objectives.calibration.slopes import weight_gradients
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.kinds.svd import KIND, SvdDecomposition
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import Layer

X = torch.randn(256, 3, 6, 6, generator=torch.Generator().manual_seed(1))
Y = torch.randint(5, (256,), generator=torch.Generator().manual_seed(2))
BATCHES = [Batch(x, y) for x, y in zip(X.split(100), Y.split(100), strict=True)]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 6, 3, groups=2), nn.Tanh(),
        nn.ConvTranspose2d(6, 4, 2), nn.Flatten(), nn.Linear(100, 5),
    ).eval()  # fmt: skip


def layers_of(model: nn.Module) -> dict[str, Layer]:
    return {layer.name: layer for layer in find_layers(model, X[:1])}


def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    return F.cross_entropy(model(batch.inputs), batch.targets)


@pytest.mark.parametrize("name", ["0", "2", "4", "6"])
def test_they_are_the_derivatives_of_the_loss(name: str) -> None:
    """A component is scaled by 1 - h: the loss changes by h times its slope."""
    model, h = network().double(), 1e-4
    batches = [Batch(batch.inputs.double(), batch.targets) for batch in BATCHES]
    whole = Batch(X.double(), Y)
    layer = {layer.name: layer for layer in find_layers(model, whole.inputs[:1])}[name]
    gradient = weight_gradients(model, {name: layer}, batches, loss)[name]
    found = KIND.decompose(layer, None)
    assert isinstance(found, SvdDecomposition)
    slopes = found.slopes(gradient)
    before = float(loss(model, whole))
    for component in (0, 1):
        part = found.components[:, :, component, None] * found.first[:, component, None, :-1]
        weight = layer.module.weight
        kept = weight.detach().clone()
        scaled = layer.grouped_weight - h * part
        if layer.transposed:
            shape = weight.shape
            scaled = scaled.unflatten(2, (-1, *shape[2:])).transpose(1, 2)
        with torch.no_grad():
            weight.copy_(scaled.reshape(weight.shape))
            change = float(loss(model, whole)) - before
            weight.copy_(kept)
        assert change == pytest.approx(h * float(slopes[component]), rel=1e-2, abs=1e-9)


def test_the_model_is_left_as_it_was() -> None:
    model = network()
    model[0].requires_grad_(False)
    trained = [p.requires_grad for p in model.parameters()]
    weight_gradients(model, layers_of(model), BATCHES, loss)
    assert [p.requires_grad for p in model.parameters()] == trained
    assert all(p.grad is None for p in model.parameters())
