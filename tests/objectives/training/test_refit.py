import copy
import weakref
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


SIZES = {
    "of one length": [(8, 6)] * 3,
    "of several": [(8, 6), (8, 9), (8, 7)],
    "two of one": [(8, 6), (8, 9), (8, 6)],
    "a last one smaller": [(8, 6), (8, 6), (3, 6)],
}
"""Samples and tokens of each batch."""


class OverTokens(nn.Module):
    """Linears on sequences (N, T, C), or (T, N, C)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.up, self.down = nn.Linear(5, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x).relu())


def least_squares(rows: Tensor, wanted: Tensor, last: nn.Linear) -> Tensor:
    """The ridge solution by plain torch, all rows at once."""
    z = torch.cat([rows, torch.ones(len(rows), 1)], 1).double()
    present = torch.cat([last.weight, last.bias[:, None]], 1).double()
    ridge = 1e-4 * (z.T @ z).diagonal().mean() * torch.eye(z.shape[1], dtype=torch.float64)
    return torch.linalg.solve(z.T @ z + ridge, z.T @ wanted.double() + ridge @ present.T).T


@pytest.mark.parametrize("dim", [0, 1], ids=["batch first", "sequence first"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@torch.no_grad()
def test_the_solution_is_that_of_all_rows_at_once(sizes: list[tuple[int, int]], dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(*(size if dim == 0 else size[::-1]), 5, generator=generator) for size in sizes]
    dense = OverTokens().eval()
    layers = list(find_layers(dense, inputs[0][:1]))
    small = copy.deepcopy(dense)
    for layer in layers:
        setattr(small, layer.name, KINDS["svd"].decompose(layer, None).factors(2))
    expected = copy.deepcopy(small)
    refit(small, dense, layers, [Batch(x, torch.zeros(x.shape[dim]), dim=dim) for x in inputs])

    rows = torch.cat([x.reshape(-1, 5) for x in inputs])
    for factors, wanted in ((expected.up, dense.up(rows)), (expected.down, dense(rows))):
        given = rows if factors is expected.up else expected.up(rows).relu()
        solved = least_squares(factors[0](given), wanted, factors[1])
        factors[1].weight.copy_(solved[:, :-1])
        factors[1].bias.copy_(solved[:, -1])
    for ours, theirs in zip(small.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_batches_that_take_different_ways() -> None:
    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.first(x) if x.shape[1] > 6 else self.second(x))

    dense = Routed().eval()
    layers = [layer for n in (6, 7) for layer in find_layers(dense, torch.zeros(1, n, 6))]
    small = copy.deepcopy(dense)
    for layer in layers:
        setattr(small, layer.name, KINDS["svd"].decompose(layer, None).factors(2))
    batches = batches_of([torch.randn(30, n, 6) for n in (6, 7, 8, 6)])
    before = [float((small(b.inputs) - dense(b.inputs)).square().mean()) for b in batches]
    refit(small, dense, layers, batches)
    after = [float((small(b.inputs) - dense(b.inputs)).square().mean()) for b in batches]
    assert all(now < then for now, then in zip(after, before, strict=True))


@pytest.mark.parametrize("batch_size", [4, 10, 64])
@torch.no_grad()
def test_no_pass_is_larger_than_the_models_batches(batch_size: int) -> None:
    dense, small, layers, _, _ = compressed("perceptron")
    passed: list[int] = []
    for network in (dense, small):
        network.register_forward_pre_hook(lambda _, inputs: passed.append(len(inputs[0])))
    refit(small, dense, layers, batches_of(torch.randn(64, 20).split(4)), batch_size)
    assert max(passed) == batch_size // 4 * 4 and sum(passed) == 2 * 64


@pytest.mark.parametrize("sizes", [[40], [40, 30], [20] * 4])
@torch.no_grad()
def test_the_outputs_of_one_layer_alone_are_held(sizes: list[int]) -> None:
    torch.manual_seed(0)
    dense = nn.Sequential(*[layer for _ in range(12) for layer in (nn.Linear(16, 16), nn.ReLU())]).eval()
    layers = list(find_layers(dense, torch.zeros(1, 16)))
    small = copy.deepcopy(dense)
    for layer in layers:
        setattr(small, layer.name, KINDS["svd"].decompose(layer, None).factors(2))
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def count(_: nn.Module, __: object, output: Tensor) -> None:
        nonlocal most
        alive.append(weakref.ref(output))
        most = max(most, sum(ref() is not None for ref in alive))

    for layer in layers:
        dense.get_submodule(layer.name).register_forward_hook(count)
    refit(small, dense, layers, batches_of([torch.randn(n, 16) for n in sizes]), max(sizes))
    assert len(alive) == 12 * len(sizes) and most <= 2 * len(sizes)
