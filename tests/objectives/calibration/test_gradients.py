"""What errors cost is found by gradients: against Jacobians, on every layer, and where there are none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rankfront.objectives.calibration.gradients import output_metrics
from rankfront.objectives.calibration.output_metric import OutputMetric
from rankfront.objectives.calibration.sensitivity import scalar_of
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import Layer


def moments_of(metric: OutputMetric) -> Tensor:
    assert metric.root is not None
    root = torch.diag_embed(metric.root[..., 0]) if metric.root.shape[-1] == 1 else metric.root
    return metric.scale * root.mT @ root


def projected(outputs: Tensor, _: object = None) -> Tensor:
    return (outputs * torch.randn_like(outputs)).sum()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 6, 3, groups=2), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(96, 5),
    ).eval()  # fmt: skip


def batches(samples: int = 512, of: int = 64) -> list[Batch]:
    x = torch.randn(samples, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    return [Batch(part, torch.zeros(len(part))) for part in x.split(of)]


def layers_of(model: nn.Module, example: Tensor) -> dict[str, Layer]:
    return {layer.name: layer for layer in find_layers(model, example)}


def exact(model: nn.Sequential, name: str, inputs: Tensor, groups: int) -> Tensor:
    """Return the mean over samples of ``Σ_t J_tᵀ J_t``, J_t the outputs' Jacobian at position t of a layer's output."""
    at = int(name)
    before = model[: at + 1]
    after = nn.Sequential(*[nn.ReLU() if isinstance(m, nn.ReLU) else m for m in model[at + 1 :]])
    total: Any = 0
    for x in inputs:
        hidden = before(x[None]).detach()
        jacobian = torch.autograd.functional.jacobian(after, hidden).flatten(0, 1).flatten(0, 0)  # (5, 1, c, …)
        rows = jacobian.reshape(5, hidden.shape[1], -1).movedim(1, -1).flatten(0, 1)  # (5 · positions, c)
        rows = rows.unflatten(1, (groups, -1))
        total = total + torch.einsum("ngo,ngp->gop", rows, rows).detach()
    return total.double() / len(inputs)


def test_they_are_the_jacobians_moments() -> None:
    model, data = network(), batches(1024)
    layers = layers_of(model, data[0].inputs[:1])
    assert list(layers) == ["0", "2", "5"]
    found = output_metrics(model, layers, data, projected)
    for name, layer in layers.items():
        expected = exact(model, name, data[0].inputs, layer.groups)
        got = moments_of(found[name])
        assert float((got - expected).norm() / expected.norm()) < 0.35  # a random projection a sample
        traces = [float(moments.diagonal(dim1=1, dim2=2).sum()) for moments in (got, expected)]
        assert traces[0] == pytest.approx(traces[1], rel=0.2)


def test_the_model_is_left_as_it_was() -> None:
    model, data = network(), batches(64)
    model[0].requires_grad_(False)
    model[3].train()
    before = [(m, m.training) for m in model.modules()]
    trained = [p.requires_grad for p in model.parameters()]
    output_metrics(model, layers_of(network(), data[0].inputs[:1]), data, projected)
    assert [(m, m.training) for m in model.modules()] == before
    assert [p.requires_grad for p in model.parameters()] == trained
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_everything_may_be_frozen() -> None:
    model, data = network(), batches(64)
    layers = layers_of(model, data[0].inputs[:1])
    expected = output_metrics(model, layers, data, projected)
    model.requires_grad_(False)
    found = output_metrics(model, layers, data, projected)
    for name in layers:
        torch.testing.assert_close(moments_of(found[name]), moments_of(expected[name]))


def test_the_size_of_batches_changes_nothing_but_the_draw() -> None:
    """A scalar without anything random tells the same whatever the batches are."""
    model = network()
    layers = layers_of(model, batches()[0].inputs[:1])
    whole, parts = (output_metrics(model, layers, batches(128, of), lambda o, _: o.sum()) for of in (128, 10))
    for name in layers:
        torch.testing.assert_close(moments_of(whole[name]), moments_of(parts[name]), rtol=1e-3, atol=1e-6)


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused, self.broken = (nn.Linear(4, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        self.unused(x)
        return self.used(x) + torch.sqrt(self.broken(x) * 0)


def test_layers_without_a_gradient_and_with_a_broken_one() -> None:
    """The square root's slope at 0 is infinite."""
    torch.manual_seed(0)
    model, x = Branches(), torch.randn(32, 4)
    found = output_metrics(model, layers_of(model, x[:1]), [Batch(x, torch.zeros(32))], projected)
    assert list(found) == ["used"]


def test_a_layer_of_many_outputs_has_a_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = network(), batches(64)
    layers = layers_of(model, data[0].inputs[:1])
    whole = output_metrics(model, layers, data, projected)
    monkeypatch.setattr("rankfront.objectives.calibration.gradients.LARGEST", 5)
    found = output_metrics(model, layers, data, projected)
    root = found["0"].root
    assert root is not None and root.shape == (1, 8, 1)
    torch.testing.assert_close(
        moments_of(found["0"]).diagonal(dim1=1, dim2=2),
        moments_of(whole["0"]).diagonal(dim1=1, dim2=2),
        rtol=0.02,
        atol=0,
    )


@pytest.mark.parametrize("shape", [(64, 5), (64, 7, 5)])
def test_fisher_is_that_of_the_softmax(shape: tuple[int, ...]) -> None:
    """``E[g gᵀ] = diag(p) - p pᵀ`` for targets drawn from p."""
    torch.manual_seed(0)
    logits = torch.randn(5).expand(4096, 5).clone().requires_grad_(True)
    outputs = logits if len(shape) == 2 else logits.view(512, 8, 5)
    targets = torch.zeros(outputs.shape[:-1], dtype=torch.long)
    scalar_of("fisher", outputs, targets, classifies=True).backward()
    assert logits.grad is not None
    p = logits[0].detach().softmax(-1)
    expected = p.diag() - p.outer(p)
    torch.testing.assert_close(logits.grad.T @ logits.grad / 4096, expected, rtol=0.2, atol=0.02)


@pytest.mark.parametrize(("dims", "of"), [(2, "outputs"), (3, "fisher")])
def test_auto_is_by_position_or_by_sample(dims: int, of: Any) -> None:
    outputs = torch.randn(*[4] * (dims - 1), 6, requires_grad=True)
    targets = torch.zeros(outputs.shape[:-1], dtype=torch.long)
    found = []
    for name in ("auto", of):
        torch.manual_seed(3)
        found.append(scalar_of(name, outputs, targets, classifies=True).item())
    assert found[0] == found[1]


def test_logits_are_centred() -> None:
    """What softmax does not see has no gradient."""
    outputs = torch.randn(8, 6, requires_grad=True)
    scalar_of("outputs", outputs, torch.zeros(8, dtype=torch.long), classifies=True).backward()
    assert outputs.grad is not None
    torch.testing.assert_close(outputs.grad.sum(1), torch.zeros(8), atol=1e-5, rtol=0)


def test_every_floating_output_counts_where_none_is_the_main_one() -> None:
    a, b = torch.randn(4, 3, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    scalar_of("auto", {"a": a, "b": b, "c": torch.arange(4)}, None, classifies=False).backward()
    assert a.grad is not None and b.grad is not None
    assert float(a.grad.abs().min()) > 0 and float(b.grad.abs().min()) > 0


def test_a_function_of_the_users() -> None:
    outputs = torch.randn(4, 3)
    assert scalar_of(lambda o: F.relu(o).sum(), outputs, None, classifies=True) == F.relu(outputs).sum()
