"""The contract of kind ``stored``: every way in which a parameter is multiplied that no module shows."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from rankfront import DENSE, Choice, Plan, Task
from rankfront.objectives.export.int8 import linears
from rankfront.objectives.export.model_files import load_model, save_weights
from rankfront.objectives.kinds.error import FLOOR
from rankfront.objectives.metrics.registry import measure
from rankfront.objectives.model.layer import Layer
from rankfront.objectives.model.stored import Stored
from rankfront.objectives.model.stored_layer import StoredLayer
from rankfront.objectives.objective import Objective
from tests.objectives.kinds.stored_models import (
    CPU,
    KIND,
    MODELS,
    Functional,
    all_at,
    inputs,
    made,
    prepared,
    stored_layers,
)


@pytest.mark.parametrize("name", MODELS)
def test_every_matrix_is_found(name: str) -> None:
    objective = prepared(name)
    matrices = {n for n, p in made(name).named_parameters() if p.ndim > 1 and not n.endswith(("bias_k", "bias_v"))}
    taken = {
        layer.parameter if isinstance(layer, StoredLayer) else f"{layer.name}.weight" for layer in objective.layers
    }
    assert taken == matrices, objective.layers.left_dense
    for layer in objective.layers:
        assert isinstance(layer, StoredLayer) == (objective.decompositions.kinds[layer.name] == (KIND,))


@pytest.mark.parametrize("name", MODELS)
def test_the_dense_model_computes_what_the_users_does(name: str) -> None:
    objective, x = prepared(name), inputs()
    torch.testing.assert_close(objective.dense(x), made(name)(x))
    assert measure(objective.dense, x[:1]).params == measure(made(name), x[:1]).params
    assert measure(objective.dense, x[:1]).flops == measure(made(name), x[:1]).flops > 0


@pytest.mark.parametrize("name", MODELS)
def test_full_rank_reproduces_the_network(name: str) -> None:
    objective, x = prepared(name), inputs()
    plan = all_at(objective, KIND.full_rank)
    torch.testing.assert_close(objective.factorize(plan)(x), made(name)(x), rtol=1e-3, atol=1e-3)
    assert all(objective.decompositions.error(layer, plan[layer.name]) == FLOOR for layer in stored_layers(objective))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_every_plan_costs_what_is_counted(name: str, seed: int) -> None:
    objective = prepared(name)
    random = torch.Generator().manual_seed(seed)

    def any_choice(layer: Layer) -> Choice:
        kinds = objective.decompositions.kinds[layer.name]
        if int(torch.randint(3, (), generator=random)) == 0 or ("expert" in name and layer.name == "gate"):
            return DENSE
        kind = kinds[int(torch.randint(len(kinds), (), generator=random))]
        full = kind.full_rank(layer)
        return Choice(
            kind.name, int(torch.randint(1, full + 1, (), generator=random)) if isinstance(full, int) else full
        )

    plan = Plan({layer.name: any_choice(layer) for layer in objective.layers})
    assert measure(objective.factorize(plan), objective.layers.example) == objective.costs.of(plan)


@pytest.mark.parametrize("name", MODELS)
def test_a_trial_trains_the_factors_and_its_files_load(name: str, tmp_path: Path) -> None:
    objective, x = prepared(name), inputs()
    plan = all_at(objective, lambda _: 2)
    before = objective.factorize(plan).state_dict()
    outcome = objective(plan, seed=0)
    assert outcome.metrics == measure(outcome.model, objective.layers.example)
    factors = [n for n in before if n.endswith(("original0", "original1"))]
    assert len(factors) == 2 * len(stored_layers(objective))
    assert all(not torch.equal(before[n], outcome.model.state_dict()[n]) for n in factors)
    save_weights(tmp_path / "model.safetensors", outcome.model)
    loaded = load_model(made(name), plan, tmp_path / "model.safetensors", rewrites=objective.found.rewrites)
    torch.testing.assert_close(loaded(x), outcome.model(x))
    copied = copy.deepcopy(outcome.model)
    copied(x).sum().backward()
    torch.testing.assert_close(copy.deepcopy(copied)(x), outcome.model(x))


@pytest.mark.parametrize("name", [name for name in MODELS if "expert" not in name and name != "packed attention"])
def test_exports(name: str) -> None:
    objective, x = prepared(name), inputs(2)
    model = objective.factorize(all_at(objective, lambda _: 2))
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x))


@pytest.mark.parametrize("name", MODELS)
def test_a_plain_network_is_got_back(name: str) -> None:
    objective, x = prepared(name), inputs()
    model = objective.factorize(all_at(objective, lambda _: 2))
    expected = model(x)
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for own in list(module.parametrizations):  # pyright: ignore
                parametrize.remove_parametrizations(module, own)
    assert {path: type(m) for path, m in model.named_modules()} == {
        path: type(m) for path, m in made(name).named_modules()
    }
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in made(name).named_parameters()}
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("name", ["lstm", "own parameters", "experts in one parameter"])
def test_restores_what_was_cached(name: str) -> None:
    for layer in stored_layers(prepared(name)):
        before = KIND.decompose(layer, None)
        after = KIND.restore(layer, before.tensors())
        assert [after.error(rank) for rank in after.ranks()] == [before.error(rank) for rank in before.ranks()]
        torch.testing.assert_close(after.factors(1)(), before.factors(1)())
        costs = [KIND.cost(layer, rank).params for rank in before.ranks()]
        assert costs == sorted(set(costs)) and all(cost < layer.params for cost in costs)
        assert KIND.cost(layer, KIND.smallest(layer)).params == costs[0]
        with pytest.raises(KeyError):
            KIND.restore(layer, {})


def test_a_parameter_is_computed_once_in_its_modules_forward() -> None:
    objective = prepared("lstm")
    assert [layer.reads for layer in stored_layers(objective)] == [1, 1]
    assert [layer.reads for layer in stored_layers(prepared("lstm cell"))] == [5, 5]


def test_a_parameter_of_two_modules_stays_dense() -> None:
    model = nn.Sequential(Functional(), nn.Linear(3, 3))
    model.append(Functional())
    model[2].qkv.weight = model[0].qkv.weight
    model[2] = nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Linear(1, 8), model[2])
    x = inputs()
    objective = Objective(
        Task(model, train=(x, torch.zeros(32).long()), validation=(x, torch.zeros(32).long())), device=CPU
    )
    assert not stored_layers(objective)
    assert "shared with another module" in objective.layers.left_dense["0.qkv"]


def test_excluded_by_the_modules_the_parameters_or_the_layers_name() -> None:
    for pattern in ("rnn", "rnn.*", "rnn.weight_ih_l0", "*.parametrizations.weight_ih_l0"):
        objective = prepared("lstm", exclude=(pattern,))
        assert "rnn.parametrizations.weight_ih_l0" not in objective.by_name
        assert "excluded" in objective.layers.left_dense["rnn.parametrizations.weight_ih_l0"]


def test_without_the_kind_nothing_is_rewritten_and_the_reason_is_told() -> None:
    objective = prepared("lstm", kinds=("svd",))
    assert not objective.found.rewrites and "kind stored would take them" in objective.layers.left_dense["rnn"]


class Both(nn.Module):
    """A Linear that is called, and whose weight another function reads, too; and a depthwise kernel that is read."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.depthwise = nn.Conv1d(8, 8, 3, groups=8)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.linear(self.fc(x).relu(), self.fc.weight.t())
        return self.head(functional.conv1d(x.mT, self.depthwise.weight, groups=8).mean(-1))


def test_a_linear_that_is_called_and_read_is_stored() -> None:
    model, x = Both().eval(), inputs()
    objective = Objective(Task(model, (x, torch.zeros(32).long()), (x, torch.zeros(32).long())), device=CPU)
    assert [layer.parameter for layer in stored_layers(objective)] == ["fc.weight"]
    assert objective.layers.left_dense == {"depthwise": "a depthwise convolution"}
    objective.prepare()
    plan = all_at(objective, KIND.full_rank)
    torch.testing.assert_close(objective.factorize(plan)(x), model(x), rtol=1e-4, atol=1e-4)
    assert measure(objective.factorize(plan), x[:1]) == objective.costs.of(plan)


def test_int8_leaves_it_alone() -> None:
    model = prepared("functional linear").dense
    assert linears(model) == {"head"} and isinstance(model.get_submodule("qkv.parametrizations.weight"), Stored)


def test_assignment_stores_the_nearest_factors() -> None:
    objective, x = prepared("lstm"), inputs()
    model = objective.factorize(all_at(objective, KIND.full_rank))
    with torch.no_grad():
        model.rnn.weight_hh_l0 = 2 * made("lstm").rnn.weight_hh_l0  # pyright: ignore
    torch.testing.assert_close(model.rnn.weight_hh_l0, 2 * made("lstm").rnn.weight_hh_l0)  # pyright: ignore
    assert torch.isfinite(model(x)).all()
