"""Batch norm is folded into what alone comes before it, and nothing changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rankfront.objectives.data.batch import Batch
from rankfront.objectives.deploy.batch_norm import BATCH_NORM
from rankfront.objectives.deploy.network import Network


class Twice(nn.Module):
    """What comes before batch norm goes elsewhere, too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return x + self.norm(x)


IMAGE, ROWS = torch.randn(3, 3, 6, 6), torch.randn(3, 5)


@pytest.mark.parametrize(
    ("make", "x", "left"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), IMAGE, 0),
        (lambda: nn.Sequential(nn.Conv2d(3, 6, 3, bias=False, groups=3, padding="same"), nn.BatchNorm2d(6)), IMAGE, 0),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), IMAGE, 0),
        (lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), ROWS, 0),
        (lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm2d(3)), IMAGE, 1),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), IMAGE, 1),
        (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)), IMAGE, 1),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), IMAGE, 1),
        (Twice, IMAGE, 1),
    ],
)
def test_it_is_folded_where_it_can_be(make: Callable[[], nn.Module], x: Tensor, left: int) -> None:
    model = make()
    for norm in (m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            if tensor is not None:
                nn.init.normal_(tensor)
        if norm.running_var is not None:
            nn.init.uniform_(norm.running_var, 0.5, 2)
    model.eval()
    program = Network(model, Batch(x, torch.zeros(3)), folded=True).program
    assert sum(node.target is BATCH_NORM for node in program.graph.nodes) == left
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-5)
