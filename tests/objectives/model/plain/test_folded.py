"""A weight that is computed from another is folded where the user agrees; otherwise he is told how."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from rankfront import FineTune, Task, load
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import TYPES
from rankfront.objectives.model.plain.repeat import repeated
from rankfront.objectives.model.plain.rewriting import rewrite
from rankfront.objectives.objective import Objective
from tests.conftest import go

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
CONV, LINEAR = (1, 4, 6, 5), (1, 8)


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).mT


class Masked(nn.Linear):
    def __init__(self) -> None:
        super().__init__(8, 6)
        self.register_buffer("mask", (torch.rand(6, 8) > 0.5).float())

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input, self.weight * self.mask, self.bias)


class Equalized(nn.Module):
    """As StyleGAN's Linears: weight and bias are scaled when they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, 0.35 * self.weight, 0.5 * self.bias)


def parametrized() -> nn.Module:
    linear = nn.Linear(8, 8)
    parametrize.register_parametrization(linear, "weight", Symmetric())
    return linear


def pruned(*, twice: bool = False) -> nn.Module:
    linear = nn.Linear(8, 6)
    prune.l1_unstructured(linear, "weight", 0.5)
    if twice:
        prune.random_structured(linear, "weight", 0.3, dim=0)
        prune.random_unstructured(linear, "bias", 0.3)
    return linear


FOLDED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "old weight norm": (lambda: nn.utils.weight_norm(nn.Linear(8, 6)), LINEAR, "weight norm"),
    "old weight norm, conv": (lambda: nn.utils.weight_norm(nn.Conv2d(4, 6, 3, padding=1)), CONV, "weight norm"),
    "old weight norm, transposed": (lambda: nn.utils.weight_norm(nn.ConvTranspose1d(4, 6, 3)), CONV[:3], "weight norm"),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Conv2d(4, 6, 3, bias=False)), CONV, "weight norm"),
    "old spectral norm": (lambda: nn.utils.spectral_norm(nn.Conv2d(4, 6, 3)), CONV, "spectral norm"),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(8, 6)), LINEAR, "spectral norm"),
    "orthogonal": (lambda: parametrizations.orthogonal(nn.Linear(8, 8)), LINEAR, "_Orthogonal"),
    "a parametrization": (parametrized, LINEAR, "Symmetric"),
    "pruning": (pruned, LINEAR, "pruning"),
    "pruning, several times": (lambda: pruned(twice=True), LINEAR, "pruning"),
    "StdConv2d": (lambda: StdConv2d(4, 6, 3, stride=2, bias=True), CONV, "StdConv2d"),
    "StdConv2dSame": (lambda: StdConv2dSame(4, 6, 3, stride=2), CONV, "StdConv2dSame"),
    "ScaledStdConv2d": (lambda: ScaledStdConv2d(4, 6, 3), CONV, "ScaledStdConv2d"),
    "ScaledStdConv2dSame": (lambda: ScaledStdConv2dSame(4, 6, 3, stride=2), CONV, "ScaledStdConv2dSame"),
    "a mask": (Masked, LINEAR, "Masked"),
    "an equalized Linear": (Equalized, LINEAR, "Equalized"),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folds_exactly_where_the_user_agrees_and_says_how_otherwise(name: str) -> None:
    build, shape, by = FOLDED[name]
    model, x = nn.Sequential(build()).train(), torch.randn(shape)
    model(x)  # a step of spectral norm's power iteration
    plain = rewrite(model, [x])
    assert plain.rewrites == {} and plain.reasons == {
        "0": f"its weight is computed from another ({by}): Task(fold=True) or --fold folds it"
    }
    found = rewrite(model, [x], {"fold"})
    assert list(found.rewrites) == ["0"] and found.reasons == {} and found.model.training
    (layer,) = find_layers(found.model, x).found
    assert type(layer.module) in TYPES
    names = {name.split(".")[-1] for name in found.model.state_dict()}
    assert names <= {"weight", "bias"}
    again = repeated(nn.Sequential(build()), json.loads(json.dumps(found.rewrites)))
    again.load_state_dict(found.model.state_dict())
    for size in (shape, (3, *shape[1:]), (2, *shape[1:-1], shape[-1] + 1) if len(shape) > 2 else shape):
        given = torch.randn(size)
        expected = model.eval()(given)
        for ours in (found.model, again):
            torch.testing.assert_close(ours.eval()(given), expected, rtol=1e-4, atol=1e-5)


def test_freezing_and_hooks_stay() -> None:
    model, x = nn.Sequential(nn.utils.weight_norm(nn.Linear(8, 6))).requires_grad_(False), torch.randn(2, 8)
    model[0].register_forward_hook(lambda m, i, o: 3 * o)
    model[0].register_forward_pre_hook(lambda m, i: (i[0] + 1,))
    found = rewrite(model, [x], {"fold"})
    assert not any(p.requires_grad for p in found.model.parameters()) and len(found.model[0]._forward_pre_hooks) == 1
    torch.testing.assert_close(found.model(x), model(x))


def test_what_changes_with_the_input_or_is_shared_stays() -> None:
    class Dynamic(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return functional.linear(input, self.weight * input.mean(), self.bias)

    found = rewrite(nn.Sequential(Dynamic(8, 6)), [torch.randn(2, 8)], {"fold"})
    assert found.rewrites == {} and type(found.model[0]) is Dynamic
    shared = nn.Sequential(Equalized(), nn.ReLU(), nn.Linear(6, 8), Equalized())
    shared[3].weight = shared[0].weight
    found = rewrite(shared, [torch.randn(2, 8)], {"fold"})
    assert found.rewrites == {} and "which others share" in found.reasons["0"]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.utils.weight_norm(nn.Conv2d(3, 16, 3, padding=1))
        self.body = StdConv2dSame(16, 16, 3, stride=2)
        self.fc = parametrizations.spectral_norm(nn.Linear(16, 16))
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.fc(self.body(self.stem(x).relu()).relu().mean((2, 3))).relu())


def test_a_study_with_folded_weights_and_its_files(tmp_path: Path) -> None:
    x, y = torch.randn(64, 3, 6, 6), torch.arange(64) % 4
    model = Net().eval()
    task = Task(model, (x, y), (x, y), calibration=32, finetune=FineTune(1), kinds=("svd",), fold=True, name="net")
    assert task.settings()["fold"]
    result = go(task, tmp_path / "run", trials=3, budget="params=60%")
    plan = result.best_trial().plan
    assert set(plan) == {"stem", "body.conv", "fc", "head"}
    torch.testing.assert_close(load(tmp_path / "run", Net().eval())(x), result.best(x))
    asked = Objective(Task(model, (x, y), (x, y), kinds=("svd",), name="net"), device=torch.device("cpu"))
    assert {layer.name for layer in asked.layers} == {"head"}
    assert all("--fold folds it" in asked.layers.left_dense[name] for name in ("stem", "body", "fc"))


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("dress", [nn.utils.weight_norm, nn.utils.spectral_norm, parametrizations.weight_norm, pruned])
def test_a_study_leaves_computed_weights_dense_where_they_are_not_folded(
    dress: Callable[[nn.Linear], nn.Module], int8: bool, tmp_path: Path
) -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        inside = pruned() if dress is pruned else dress(nn.Linear(8, 6))
        return nn.Sequential(nn.Linear(12, 8), nn.ReLU(), inside, nn.ReLU(), nn.Linear(6, 4)).eval()

    x, y = torch.randn(64, 12), torch.arange(64) % 4
    model = network()
    model(x)  # leaves a computed weight with a history
    task = Task(model, (x, y), (x, y), calibration=32, finetune=FineTune(1), kinds=("svd",), int8=int8, name="net")
    result = go(task, tmp_path / "run", trials=2, budget="params=95%")
    assert [record.state for record in result.records] == ["complete"] * 2
    assert "2" not in result.best_trial().plan
    torch.testing.assert_close(load(tmp_path / "run", network())(x), result.best(x))
