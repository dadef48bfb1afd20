"""A module that computes one plain operation becomes plain; whatever else it does keeps it, with the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.linear import Linear as TimmLinear
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from rankfront import FineTune, Task, finish, load, verify
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import TYPES
from rankfront.objectives.model.plain.padding import SamePadding
from rankfront.objectives.model.plain.repeat import repeated
from rankfront.objectives.model.plain.rewriting import rewrite
from rankfront.objectives.objective import Objective
from tests.conftest import go
from tests.objectives.model.plain.operations import PLAIN, STAYS, WithScale


@pytest.mark.parametrize("name", PLAIN)
def test_is_the_same_function_and_can_be_repeated(name: str) -> None:
    build, shape = PLAIN[name]
    model, x = nn.Sequential(build()).train(), torch.randn(shape)
    model[0].weight_note = "mine"
    found = rewrite(model, [x])
    assert list(found.rewrites) == ["0"] and found.reasons == {} and found.model[0].weight_note == "mine"
    (layer,) = find_layers(found.model, x).found
    assert type(layer.module) in TYPES and all(m.training for m in found.model.modules())
    again = repeated(nn.Sequential(build()), json.loads(json.dumps(found.rewrites)))
    again.load_state_dict(found.model.state_dict())
    sizes = [shape] if name in ("of one size", "static same", "static same, 1×1") else [shape, (*shape[:-1], shape[-1])]
    if len(shape) > 3 and len(sizes) > 1:
        sizes.append((2, shape[1], *(size + 3 for size in shape[2:])))
    for size in sizes:
        given = torch.randn(size)
        expected = model(given)
        for ours in (found.model, again):
            torch.testing.assert_close(ours(given), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STAYS)
def test_whatever_else_is_computed_keeps_the_module_with_the_reason(name: str) -> None:
    build, reason = STAYS[name]
    module = build()
    x = torch.randn(1, 8, 6, 6) if isinstance(module, nn.Conv2d) else torch.randn(1, 8)
    found = rewrite(nn.Sequential(module), [x])
    assert found.rewrites == {} and type(found.model[0]) is type(module)
    assert reason in found.reasons["0"]
    assert reason in {**find_layers(found.model, x).left_dense, **found.reasons}["0"]


class Scaling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = WithScale(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x, 3.0)


class Reading(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = Conv1D(6, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + x @ self.fc.weight


@pytest.mark.parametrize(
    ("build", "reason"), [(Scaling, "more than one|something else than one"), (Reading, "fails when it is rewritten")]
)
def test_a_model_that_uses_more_of_the_module_keeps_it(build: Callable[[], nn.Module], reason: str) -> None:
    model = build()
    found = rewrite(model, [torch.randn(2, 8)])
    assert found.rewrites == {} and re.search(reason, found.reasons["fc"])
    assert type(found.model.fc) is type(model.fc)


def test_others_with_parameters_are_left_alone() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.two, self.rnn = nn.Embedding(5, 4), nn.Bilinear(4, 4, 4), nn.GRU(4, 4)
            self.norm, self.same = nn.LayerNorm((3, 4)), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            y = self.same(self.norm(self.embed(x)))
            return self.rnn(self.two(y, y))[0]

    found = rewrite(Mixed(), [torch.zeros(2, 3, dtype=torch.long)])
    assert found.rewrites == {} and found.reasons.keys() == {"two", "rnn"}
    assert all("kind stored would take them" in reason for reason in found.reasons.values())


class Tied(nn.Module):
    """Subclasses that share a weight with each other, with an embedding; one that is used twice."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(8, 8), kind(8, 8)
        self.head.weight = self.embed.weight
        self.one = kind(8, 8)
        self.again, self.other = self.one, kind(8, 8)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.other(self.again(self.one(self.embed(x)))))


def test_ties_stay() -> None:
    model, x = Tied(TimmLinear), torch.arange(4)[None]
    count = sum(p.numel() for p in model.parameters())
    model.one.bias.requires_grad_(False)
    found = rewrite(model, [x])
    ours = found.model
    assert set(found.rewrites) == {"head", "one", "other"}
    assert ours.head.weight is ours.embed.weight and ours.one is ours.again and ours.other.weight is ours.one.weight
    assert sum(p.numel() for p in ours.parameters()) == count
    assert not ours.one.bias.requires_grad and ours.other.bias.requires_grad
    assert ours.head.weight is not model.head.weight
    torch.testing.assert_close(ours(x), model(x))
    transposed = rewrite(Tied(Conv1D), [x])
    assert transposed.rewrites == {} and "shared" in transposed.reasons["head"]


@pytest.mark.parametrize("name", ["timm's Conv2dSame", "Hugging Face's Conv1D"])
def test_hooks_and_freezing_stay(name: str) -> None:
    build, shape = PLAIN[name]
    model, x = nn.Sequential(build()).eval(), torch.randn(shape)
    seen: list[torch.Size] = []
    model[0].register_forward_pre_hook(lambda m, i: seen.append(i[0].shape))
    model[0].register_forward_hook(lambda m, i, o: 2 * o)
    model[0].weight.requires_grad_(False)
    found = rewrite(model, [x])
    assert list(found.rewrites) == ["0"]
    seen.clear()
    torch.testing.assert_close(found.model(x), model(x), rtol=1e-4, atol=1e-5)
    assert seen == [x.shape, x.shape]
    frozen = {name.split(".")[-1]: p.requires_grad for name, p in found.model.named_parameters()}
    assert frozen == {"weight": False, "bias": True} and not found.model.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types(dtype: torch.dtype) -> None:
    model = nn.Sequential(Conv2dSame(4, 8, 3, 2), nn.Flatten(), Conv1D(6, 32), nn.ReLU(), TimmLinear(6, 3)).to(dtype)
    found = rewrite(model, [torch.randn(1, 4, 4, 4, dtype=dtype)])
    assert set(found.rewrites) == {"0", "2", "4"} and {p.dtype for p in found.model.parameters()} == {dtype}


def test_same_padding_is_timms() -> None:
    for size in range(1, 12):
        for kernel, stride, dilation in ((3, 2, 1), (5, 3, 1), (2, 2, 1), (3, 2, 2), (1, 2, 1)):
            conv = Conv2dSame(1, 1, kernel, stride, dilation=dilation)
            pad = SamePadding((kernel,) * 2, (stride,) * 2, (dilation,) * 2, 0.0)
            x = torch.randn(1, 1, size, size + 1)
            ours = functional.conv2d(pad(x), conv.weight, conv.bias, stride, 0, dilation)
            torch.testing.assert_close(ours, conv(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc = Conv2dSame(3, 16, 3, 2), Conv1D(4, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stem(x).relu().mean((2, 3)))


def test_a_study_of_such_modules_and_its_files(tmp_path: Path) -> None:
    x, y = torch.randn(64, 3, 8, 8), torch.arange(64) % 4
    task = Task(
        Net().eval(), (x, y), (x, y), calibration=32, finetune=FineTune(1), kinds=("svd", "tucker2"), name="net"
    )
    made = Objective(task, device=torch.device("cpu"))
    assert {layer.name for layer in made.layers} == {"stem.conv", "fc"}
    result = go(task, tmp_path / "run", trials=3, budget="params=60%")
    torch.testing.assert_close(load(tmp_path / "run", Net().eval())(x), result.best(x))
    assert all(check.holds for check in verify(task, tmp_path / "run", progress=False, device="cpu"))
    done = finish(task, tmp_path / "run", epochs=1, progress=False, device="cpu")
    torch.testing.assert_close(load(done.folder, Net().eval())(x), done.model(x))
    torch.testing.assert_close(
        finish(task, tmp_path / "run", epochs=1, progress=False, device="cpu").model(x), done.model(x)
    )
    excluded = Objective(Task(Net(), (x, y), (x, y), exclude=("stem",)), device=torch.device("cpu"))
    assert {layer.name for layer in excluded.layers} == {"fc"} and "excluded" in excluded.layers.left_dense["stem.conv"]


def test_a_module_that_no_sample_reaches_is_left_alone() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = TimmLinear(8, 8), TimmLinear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    found: Any = rewrite(Unused(), [torch.randn(1, 8)])
    assert set(found.rewrites) == {"used"} and found.reasons == {}
