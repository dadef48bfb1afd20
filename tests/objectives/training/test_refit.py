import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from rankfront import Choice, Plan
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.kinds.factorize import factorize
from rankfront.objectives.kinds.kind import Kind
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import Layer
from rankfront.objectives.training.refit import refit


class OnGrids(nn.Module):
    """Linears on (N, H, W, C), as in ConvNeXt, with H equal to C."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 24), nn.Linear(24, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x).relu())


MODELS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "perceptron": (nn.Sequential(nn.Linear(20, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 9)), (20,)),
    "convolutions": (
        nn.Sequential(nn.Conv2d(3, 9, 3, padding=1), nn.ReLU(), nn.Conv2d(9, 9, 3, stride=2, bias=False)),
        (3, 12, 12),
    ),
    "grids": (OnGrids(), (6, 6, 6)),
    "groups": (nn.Sequential(nn.Conv2d(6, 12, 3, groups=2), nn.ReLU(), nn.Conv2d(12, 8, 1, groups=2)), (6, 9, 9)),
}


def batches_of(parts: Sequence[Tensor]) -> list[Batch]:
    return [Batch(part, torch.zeros(len(part))) for part in parts]


def compressed(name: str, kind: Kind = KINDS["svd"]) -> tuple[nn.Module, nn.Module, list[Layer], list[Batch], Tensor]:
    """A network of plain factors, all its layers at a middling rank, that has not seen any data."""
    dense, shape = MODELS[name]
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(600, *shape, generator=generator)
    layers = [layer for layer in find_layers(dense, inputs[:1]) if kind.applies(layer)[0]]
    found = {layer.name: kind.decompose(layer, None) for layer in layers}
    ranks = {name: (r := d.ranks())[len(r) // 2] for name, d in found.items() if d.ranks()}
    plan = Plan({name: Choice(kind.name, rank) for name, rank in ranks.items()})
    by_name = {layer.name: layer for layer in layers}
    small = factorize(dense, by_name, plan, lambda layer, choice: found[layer.name].factors(choice.rank))
    return dense.eval(), small.eval(), [by_name[n] for n in plan], batches_of(inputs[:500].split(100)), inputs[500:]


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.base == kind.name], ids=lambda k: k.name)
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_brings_the_output_closer_to_the_dense_models(name: str, kind: Kind) -> None:
    dense, small, layers, batches, unseen = compressed(name, kind)
    if not layers:
        pytest.skip("the kind takes none of its layers")
    before = float((small(unseen) - dense(unseen)).square().mean())
    refit(small, dense, layers, batches)
    assert float((small(unseen) - dense(unseen)).square().mean()) < 0.99 * before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in (*small.modules(), *dense.modules()))


@torch.no_grad()
def test_a_single_layer_gets_the_least_squares_solution() -> None:
    dense = nn.Sequential(nn.Linear(8, 6))
    (layer,) = find_layers(dense, torch.zeros(1, 8))
    inputs = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    small = nn.Sequential(KINDS["svd"].decompose(layer, None).factors(2))
    refit(small, dense, [layer], batches_of([inputs]))
    z = torch.cat([small[0][0](inputs), torch.ones(400, 1)], 1)
    best = torch.linalg.lstsq(z, dense(inputs)).solution
    torch.testing.assert_close(small[0][1].weight, best[:-1].T, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(small[0][1].bias, best[-1], rtol=1e-2, atol=1e-3)


@torch.no_grad()
def test_inputs_that_say_nothing_change_nothing_that_matters() -> None:
    dense, small, layers, _, _ = compressed("convolutions")
    before = copy.deepcopy(small.state_dict())
    refit(small, dense, layers, batches_of([torch.zeros(8, 3, 12, 12)]))
    assert all(bool(torch.isfinite(value).all()) for value in small.state_dict().values())
    # The first layer sees nothing, so nothing is solved; later ones see what its bias makes of it.
    torch.testing.assert_close(small.state_dict()["0.1.weight"], before["0.1.weight"])


@torch.no_grad()
def test_batches_of_different_lengths() -> None:
    dense, small, layers, _, _ = compressed("grids")
    refit(small, dense, layers, batches_of([torch.randn(40, n, 6, 6) for n in (6, 7)]))
