"""Layers that one sample does not show: experts, exits, branches of training, checkpoints, calls by keyword."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from rankfront import DENSE, Choice, FineTune, Plan, Task
from rankfront.objectives.metrics.flops import count_flops
from rankfront.objectives.metrics.registry import measure
from rankfront.objectives.model.finding import Layers, find_layers
from rankfront.objectives.model.trace import Several
from rankfront.objectives.objective import Objective

CPU = torch.device("cpu")


class Experts(nn.Module):
    """The experts of the largest gates compute; ``every`` calls the others, too, on nothing."""

    def __init__(self, top: int, every: bool = False) -> None:
        super().__init__()
        self.gate = nn.Linear(16, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4)) for _ in range(4))
        self.top, self.every = top, every

    def forward(self, x: Tensor) -> Tensor:
        weights, picked = self.gate(x).softmax(-1).topk(self.top, -1)
        out = x.new_zeros(*x.shape[:-1], 4)
        for index, expert in enumerate(self.experts):
            chosen = picked == index
            mine = chosen.any(-1)
            if self.every or mine.any():
                share = (weights * chosen).sum(-1)[mine]
                out[mine] = out[mine] + share[:, None] * expert(x[mine])
        return out


class Exits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).relu()
        if float(x.mean()) < 0.4:
            x = self.two(x).relu()
        return self.head(x)


class StochasticDepth(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(6))
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            if not self.training or float(torch.rand(())) < 0.5:
                x = x + block(x)
        return self.head(x)


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.aux = nn.Linear(16, 16), nn.Linear(16, 4), nn.Linear(16, 4)
        self.never = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x).relu()
        return self.head(x) + self.aux(x) if self.training else self.head(x)


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = checkpoint(self.one, x, use_reentrant=False)
        return checkpoint(lambda y: self.two(input=y.relu()), x, use_reentrant=False)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(5):
            x = self.cell(input=x).tanh()
        return self.head(x)


MODELS: dict[str, Any] = {
    "one expert": lambda: Experts(1),
    "two experts": lambda: Experts(2),
    "experts called on nothing": lambda: Experts(1, every=True),
    "early exit": Exits,
    "stochastic depth": StochasticDepth,
    "checkpoints": Checkpointed,
    "a layer called five times": Recurrent,
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def data(samples: int = 64, shape: tuple[int, ...] = (16,)) -> Tensor:
    return torch.randn(samples, *shape, generator=torch.Generator().manual_seed(1))


def found(model: nn.Module, x: Tensor) -> Layers:
    return find_layers(model, x[:1], (), list(x[1:16].split(1)), x[:16])


@pytest.mark.parametrize("shape", [(16,), (5, 16)], ids=["rows", "tokens"])
@pytest.mark.parametrize("name", MODELS)
def test_every_layer_that_some_sample_reaches_is_found(name: str, shape: tuple[int, ...]) -> None:
    model = made(name)
    layers = found(model, data(shape=shape))
    linears = {path for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert {layer.name for layer in layers} == linears, layers.left_dense


@pytest.mark.parametrize("name", MODELS)
def test_a_layers_flops_are_its_part_of_what_is_counted(name: str) -> None:
    model = made(name)
    layers = found(model, data())
    assert sum(layer.flops for layer in layers) == count_flops(model, layers.example)
    varies = "expert" in name or "exit" in name
    assert isinstance(layers.example, Several) == varies
    if not varies:
        assert all(layer.inputs == 1 for layer in layers)


@pytest.mark.parametrize("top", [1, 2])
def test_experts_cost_as_much_as_a_sample_sends_them(top: int) -> None:
    model = Experts(top)
    layers = found(model, data())
    assert sum(layer.positions for layer in layers if layer.name.endswith(".0")) == top
    assert count_flops(model, layers.example) == 2 * (16 * 4 + top * (16 * 24 + 24 * 4))


def test_the_model_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    found(model, data())
    assert torch.equal(state, torch.get_rng_state()) and model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_not_called_is_said_with_what_did_not_call_it() -> None:
    layers = found(Auxiliary(), data())
    assert layers.left_dense == {
        "aux": "called in training mode alone: the network that ships does not compute it",
        "never": "not called by 16 samples nor by a training step",
    }
    assert find_layers(Auxiliary(), data(1)).left_dense["never"] == "not called by the sample"


class Picky(nn.Module):
    """Refuses training mode, and all samples but those whose first number is positive."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.training or float(x[0, 0]) < 0:
            raise ValueError("no")
        return self.one(x)


def test_what_a_model_refuses_is_passed_over() -> None:
    x = data()
    x[:, 0] = x[:, 0].abs() * torch.tensor([1.0, 1.0, -1.0, 1.0]).repeat(16)
    assert found(Picky(), x).left_dense == {"two": "not called by 12 samples"}


@pytest.mark.parametrize("name", ["one expert", "two experts", "experts called on nothing", "early exit"])
def test_a_trial_where_the_data_decides(name: str) -> None:
    model, x = made(name), data()
    y = model(x).argmax(-1).detach() if name != "early exit" else torch.arange(64) % 4
    task = Task(model, train=(x, y), validation=(x, y), calibration=32, finetune=FineTune(epochs=1))
    objective = Objective(task, device=CPU)
    objective.prepare()
    for kind in ("svd", "svd-identity"):
        plan = Plan({layer.name: Choice(kind, 2) for layer in objective.layers})
        outcome = objective(plan, seed=0)
        assert outcome.metrics.params == objective.costs.of(plan).params
        assert outcome.metrics == measure(outcome.model, objective.layers.example)


@settings(max_examples=20)
@given(ranks=st.lists(st.integers(1, 3), min_size=8, max_size=8), seed=st.integers(0, 9))
def test_predicted_flops_are_the_measured_ones_where_routing_stays(ranks: list[int], seed: int) -> None:
    """Only the experts are factorized: the gate sends every sample where it did."""
    torch.manual_seed(seed)
    model, x = Experts(2), data()
    task = Task(model, train=(x, torch.arange(64) % 4), validation=(x, torch.arange(64) % 4), calibration=32)
    objective = Objective(task, device=CPU)
    objective.prepare()
    experts = [layer.name for layer in objective.layers if layer.name != "gate"]
    plan = Plan({"gate": DENSE} | {name: Choice("svd", rank) for name, rank in zip(experts, ranks, strict=True)})
    assert measure(objective.factorize(plan), objective.layers.example) == objective.costs.of(plan)


def test_an_expert_that_calibration_does_not_reach_is_decomposed_by_its_weight() -> None:
    model, x = Experts(1), data()
    with torch.no_grad():
        model.gate.weight.zero_()
        model.gate.weight[3, 0] = 100.0
        model.gate.bias.copy_(torch.tensor([0.0, 0.0, 1.0, -200.0]))
    x[:, 0] = 0.0
    x[5, 0] = 5.0  # this sample alone goes to the last expert
    task = Task(model, train=(x, torch.arange(64) % 4), validation=(x, torch.arange(64) % 4), calibration=16)
    objective = Objective(task, device=CPU, seed=1)
    assert {layer.name for layer in objective.layers if layer.name.startswith("experts.3")}
    objective.prepare()
    assert all(
        0 <= objective.decompositions.error(objective.by_name[n], Choice("svd", 1)) <= 1 for n in objective.by_name
    )


@torch.no_grad()
def test_a_loader_of_single_samples_shows_every_expert() -> None:
    torch.manual_seed(0)
    model = Experts(1).eval()
    x = torch.randn(64, 16)
    y = model(x).argmax(1)
    loader = DataLoader(TensorDataset(x, y), batch_size=1)
    found = Objective(Task(model, loader, (x, y)), device=CPU)
    assert {f"experts.{i}.0" for i in range(4)} <= set(found.by_name)


def test_what_vmap_wraps_is_passed_over() -> None:
    class Ensemble(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(nn.Linear(6, 4) for _ in range(3))
            self.out = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            state = torch.func.stack_module_state(list(self.parts))
            call = torch.func.functional_call
            return self.out(torch.func.vmap(lambda p, b: call(self.parts[0], (p, b), (x,)))(*state).mean(0))

    found = find_layers(Ensemble(), torch.randn(1, 6))
    assert "out" in [layer.name for layer in found]
