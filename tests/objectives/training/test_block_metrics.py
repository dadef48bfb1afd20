"""What errors in blocks' outputs cost: against Jacobians, on features that nothing reads, and where it is not known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rankfront import DENSE, Choice, Plan, Task
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.objective import Objective
from rankfront.objectives.training.block_metrics import BlockMetric, block_metrics
from rankfront.objectives.training.block_refit import refit_blocks
from rankfront.objectives.training.descent import Descent


class Block(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.layer(x))


def of_linears(width: int = 8) -> nn.Module:
    torch.manual_seed(0)
    blocks = nn.ModuleList(Block(nn.Linear(width, width)) for _ in range(2))
    return nn.Sequential(*blocks, nn.Linear(width, 4)).eval()


def of_convolutions(width: int = 6) -> nn.Module:
    torch.manual_seed(0)
    blocks = [Block(nn.Conv2d(width, width, 3, padding=1)) for _ in range(2)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(width * 16, 4)).eval()


def projected(outputs: Tensor, _: object = None) -> Tensor:
    return (outputs * torch.randn_like(outputs)).sum()


def batches(x: Tensor) -> list[Batch]:
    return [Batch(part, torch.zeros(len(part))) for part in x.split(64)]


INSIDE = {"0": ["0.layer"], "1": ["1.layer"]}


@pytest.mark.parametrize(("make", "shape"), [(of_linears, (8,)), (of_convolutions, (6, 4, 4))])
def test_a_small_error_costs_what_it_changes_in_the_outputs(make: type[nn.Module], shape: tuple[int, ...]) -> None:
    """The ratio of weighed error and changed outputs is the same for errors in any direction, on the mean."""
    model = make()
    x = torch.randn(2048, *shape, generator=torch.Generator().manual_seed(1))
    found = block_metrics(model, INSIDE, batches(x), projected)
    after = nn.Sequential(*list(model)[1:])
    with torch.no_grad():
        hidden = model[0](x)
        ratios = []
        for feature in range(shape[0]):
            moved = hidden.clone()
            moved[:, feature] += 1e-2 * torch.randn(moved[:, feature].shape, generator=torch.Generator().manual_seed(2))
            changed = (after(moved) - after(hidden)).square().mean()
            ratios.append(float(changed / found["0"].error(moved, hidden)))
    assert max(ratios) / min(ratios) < 1.8
    plain = [BlockMetric().error(hidden + torch.randn(1), hidden) for _ in range(2)]
    assert all(bool(torch.isfinite(error)) for error in plain)


class Loud(nn.Module):
    """Half of the features are large, and nothing that follows reads them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block(nn.Linear(12, 12)) for _ in range(2))
        self.last = nn.Linear(12, 4)
        with torch.no_grad():
            for block in self.blocks:
                block.layer.weight *= 3
                block.layer.weight[6:, :6] = 0
            self.last.weight[:, :6] = 0

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat((10 * x[:, :6], x[:, 6:]), 1)
        for block in self.blocks:
            x = block(x)
        return self.last(x)


@torch.no_grad()
def test_what_nothing_reads_is_left() -> None:
    dense, x = Loud().eval(), torch.randn(640, 12, generator=torch.Generator().manual_seed(1))
    y = dense(x).argmax(1)
    task = Task(dense, (x, y), (x, y), kinds=("svd",), calibration=128, sensitivity="none", refit=None, name="t")
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    layers = ["blocks.0.layer", "blocks.1.layer"]
    plan = Plan({**dict.fromkeys(objective.by_name, DENSE), **dict.fromkeys(layers, Choice("svd", 4))})
    away = []
    for scalar in (None, projected):
        model = objective.decompositions.in_place(objective.dense, plan)
        batch = batches(x)
        refit_blocks(model, objective.dense, layers, batch[:6], batch[6:], scalar=scalar, by=Descent(200, 5e-3))
        away.append(float((model(x) - dense(x)).square().mean()))
    assert away[1] < 0.9 * away[0]


def test_a_model_that_cannot_be_run_backward_has_plain_errors() -> None:
    model = of_linears()

    class Inference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)

    inside = {f"inner.{block}": [f"inner.{name}" for name in names] for block, names in INSIDE.items()}
    found = block_metrics(Inference(), inside, batches(torch.randn(64, 8)), projected)
    a, b = torch.randn(3, 8), torch.randn(3, 8)
    assert list(found) == list(inside)
    for metric in found.values():
        assert float(metric.error(a, b)) == pytest.approx(float((a - b).square().mean()))
