"""Factors of a block together: blocks are found, come nearer to the dense network's, and nothing else changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

from rankfront import DENSE, Choice, FineTune, Plan, Task
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.objective import Objective
from rankfront.objectives.training import block_refit
from rankfront.objectives.training.block_refit import refit_blocks
from rankfront.objectives.training.blocks import blocks_of
from rankfront.objectives.training.descent import Descent
from tests.conftest import blobs, perceptron

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 30}


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        return x + self.b(torch.relu(self.a(x))) * (1.0 if scale is None else scale)


class Tower(nn.Module):
    """Blocks in a list, each given what the one before gives; with something between where ``between`` is set."""

    def __init__(self, between: bool = False, scaled: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(12, 16)
        self.blocks = nn.ModuleList(Residual(16) for _ in range(3))
        self.last = nn.Linear(16, 4)
        self.between, self.scaled = between, scaled

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        scale = torch.full((1,), 0.5) if self.scaled else None
        for block in self.blocks:
            x = block(x, scale)
            if self.between:
                x = x.relu_()
        return self.last(x)


def names(model: nn.Module, example: Any) -> list[str]:
    return [layer.name for layer in find_layers(model.eval(), example)]


@pytest.mark.parametrize(
    ("make", "example", "blocks"),
    [
        (lambda: resnet18(), torch.zeros(1, 3, 32, 32), [f"layer{i}.{j}" for i in range(1, 5) for j in range(2)]),
        (lambda: mobilenet_v2(), torch.zeros(1, 3, 32, 32), [f"features.{i}" for i in range(1, 18)]),
        (lambda: BertModel(BertConfig(**SMALL), add_pooling_layer=False), torch.ones(1, 4, dtype=torch.long),
         [f"encoder.layer.{i}" for i in range(3)]),
        (lambda: LlamaForCausalLM(LlamaConfig(**SMALL)), torch.ones(1, 4, dtype=torch.long),
         [f"model.layers.{i}" for i in range(3)]),
        (lambda: nn.Sequential(resnet18(), nn.ReLU(), nn.Linear(1000, 3)), torch.zeros(1, 3, 32, 32),
         [f"0.layer{i}.{j}" for i in range(1, 5) for j in range(2)]),
        (perceptron, torch.zeros(1, 12), [""]),
        (lambda: nn.Linear(12, 3), torch.zeros(1, 12), [""]),
    ],
    ids=["ResNet", "MobileNet", "BERT", "Llama", "inside a Sequential", "perceptron", "a Linear"],
)  # fmt: skip
def test_blocks_are_the_repeated_elements(make: Callable[[], nn.Module], example: Tensor, blocks: list[str]) -> None:
    model = make()
    layers = names(model, example)
    found = blocks_of(model, layers)
    assert list(found) == blocks
    inside = [name for names in found.values() for name in names]
    assert len(set(inside)) == len(inside) and set(inside) <= set(layers)


def test_no_layers_no_blocks() -> None:
    assert blocks_of(perceptron(), []) == {}


def factorized(dense: nn.Module, x: Tensor, rank: int = 4) -> tuple[Objective, Plan, nn.Module]:
    y = dense(x).argmax(1).detach()
    task = Task(dense.eval(), (x[:200], y[:200]), (x[200:], y[200:]), kinds=("svd",), calibration=128, name="t")
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    whole = dict.fromkeys(objective.by_name, DENSE)
    plan = Plan({**whole, **{name: Choice("svd", rank) for name in whole if name.startswith("blocks.")}})
    return objective, plan, objective.decompositions.in_place(objective.dense, plan)


def layers_in(plan: Plan) -> list[str]:
    return [name for name, choice in plan.items() if choice != DENSE]


def batches(x: Tensor) -> tuple[list[Batch], list[Batch]]:
    parts = [Batch(part, torch.zeros(len(part))) for part in x.split(40)]
    return parts[:4], parts[4:]


def away(model: nn.Module, dense: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        return float((model(x) - dense(x)).square().mean())


TOWERS = {"chained": {}, "something between": {"between": True}, "more inputs": {"scaled": True}}


@pytest.mark.parametrize("form", TOWERS)
def test_the_network_comes_nearer_to_the_dense_one(form: str) -> None:
    dense, (x, _) = Tower(**TOWERS[form]), blobs(280, 1)
    objective, plan, model = factorized(dense, x)
    before, was = copy.deepcopy(model.state_dict()), away(model, dense, x[240:])
    refit_blocks(model, objective.dense, layers_in(plan), *batches(x[:200]), by=Descent(steps=60, lr=3e-3))
    assert away(model, dense, x[240:]) < was
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("blocks.") for name in changed)
    assert not model.training and all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("form", TOWERS)
def test_a_block_called_by_itself_is_the_same_as_the_network_run_up_to_it(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense, (x, _) = Tower(**TOWERS[form]), blobs(280, 1)
    objective, plan, model = factorized(dense, x)
    arrivals, arrival, calls = [], block_refit._arrival, block_refit._calls
    monkeypatch.setattr(block_refit, "_arrival", lambda *given: arrivals.append(1) or arrival(*given))
    found: list[dict[str, Tensor]] = []
    for _ in range(2):
        copied = copy.deepcopy(model)
        refit_blocks(copied, objective.dense, layers_in(plan), *batches(x[:200]), by=Descent(steps=10))
        found.append(copied.state_dict())
        arrivals.append(0)
        monkeypatch.setattr(
            block_refit,
            "_calls",
            lambda *given: {b: [replace(c, follows=False) for c in of] for b, of in calls(*given).items()},
        )
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name])
    ran = arrivals.index(0)
    assert ran == (15 if form == "something between" else 5)  # batches × blocks that need the network
    assert len(arrivals) - ran - 2 == 15


def test_what_does_not_help_on_held_out_samples_is_undone() -> None:
    dense, (x, _) = Tower(), blobs(280, 1)
    objective, plan, model = factorized(dense, x)
    before = copy.deepcopy(model.state_dict())
    refit_blocks(model, objective.dense, layers_in(plan), *batches(x[:200]), by=Descent(steps=20, lr=30.0))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_block_that_runs_twice_is_left() -> None:
    class Twice(Tower):
        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            for block in (*self.blocks, self.blocks[0]):
                x = block(x)
            return self.last(x)

    dense, (x, _) = Twice(), blobs(280, 1)
    objective, plan, model = factorized(dense, x)
    before = copy.deepcopy(model.state_dict())
    refit_blocks(model, objective.dense, layers_in(plan), *batches(x[:200]), by=Descent(steps=10))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any(name.startswith("blocks.0") for name in changed)


def test_the_same_seed_gives_the_same_factors() -> None:
    dense, (x, _) = Tower(), blobs(280, 1)
    objective, plan, model = factorized(dense, x)
    found = []
    for seed in (0, 0, 1):
        copied = copy.deepcopy(model)
        refit_blocks(copied, objective.dense, layers_in(plan), *batches(x[:200]), by=Descent(steps=10), seed=seed)
        found.append(copied.state_dict()["blocks.0.a.0.weight"])
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.parametrize("refit", ["block", "network"])
@pytest.mark.parametrize("kinds", [("svd",), ("svd-identity",), ("tt",)])
def test_a_trial_begins_with_it(
    kinds: tuple[str, ...], refit: Literal["block", "network"], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, _ = blobs(280, 1)
    dense = Tower().eval()
    y = dense(x).argmax(1).detach()
    task = Task(dense, (x[:200], y[:200]), (x[200:], y[200:]), kinds=kinds, calibration=128, name="t", refit=refit,
                finetune=FineTune(epochs=0))  # fmt: skip
    called: list[str] = []
    for each in ("block", "network"):
        name = {"block": "refit_blocks", "network": "refit_network"}[each]
        monkeypatch.setattr(f"rankfront.objectives.start.{name}", lambda *_, each=each, **__: called.append(each))
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    options = objective.decompositions.options
    plan = Plan({name: every[len(every) // 3] for name, every in options.items()})
    objective.score_before_finetuning(plan)
    assert not called
    objective(plan, 0)
    assert called == (["block"] if refit == "block" else ["block", "network"])
