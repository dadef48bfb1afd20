"""The contract of kind ``stored``: every way in which a parameter is multiplied that no module shows."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from rankfront import DENSE, Choice, FineTune, Plan, Task
from rankfront.objectives.calibration.moments import Moments
from rankfront.objectives.calibration.samples import in_training_batches
from rankfront.objectives.calibration.weight_moments import weight_moments
from rankfront.objectives.export.int8 import linears
from rankfront.objectives.export.model_files import load_model, save_weights
from rankfront.objectives.kinds.error import FLOOR
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.metrics.registry import measure
from rankfront.objectives.model.layer import Layer
from rankfront.objectives.model.stored import Stored
from rankfront.objectives.model.stored_layer import StoredLayer
from rankfront.objectives.objective import Objective
from rankfront.objectives.statistics import Statistics

KIND = KINDS["stored"]
CPU = torch.device("cpu")


class First(nn.Module):
    """The first output of a recurrent layer, and a head."""

    def __init__(self, recurrent: nn.Module, width: int) -> None:
        super().__init__()
        self.rnn, self.head = recurrent, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Cell(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class Functional(nn.Module):
    """As torchvision's Swin: the Linear's weight is read, the Linear is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.linear(x, self.qkv.weight, self.qkv.bias).mean(1))


class Own(nn.Module):
    """Parameters of the user's own: ``x @ w``, an einsum, a transpose, a slice, a cast copy."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(8, 12))
        self.e = nn.Parameter(torch.randn(12, 2, 6))
        self.t = nn.Parameter(torch.randn(10, 12))
        self.halves = nn.Parameter(torch.randn(12, 10))
        self.cast = nn.Parameter(torch.randn(5, 6))
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = (x @ self.w).relu()
        x = torch.einsum("btd,dhk->bthk", x, self.e).flatten(2)
        x = torch.matmul(x, self.t.t()).relu()
        one, two = self.halves.chunk(2)
        x = functional.linear(x, one) + functional.linear(x, two)
        return self.head(functional.linear(x, (2 * self.cast).float().t().contiguous().T).mean(1))


class Fused(nn.Module):
    """As Mixtral: the experts' weights in one parameter each, one expert's slice at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.up, self.down = nn.Parameter(torch.randn(4, 20, 8)), nn.Parameter(torch.randn(4, 3, 20))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights, picked = self.gate(flat).softmax(-1).topk(2)
        out = flat.new_zeros(len(flat), 3)
        for expert in range(4):
            rows, place = (picked == expert).nonzero(as_tuple=True)
            if len(rows):
                hidden = functional.linear(flat[rows], self.up[expert]).relu()
                out.index_add_(0, rows, weights[rows, place, None] * functional.linear(hidden, self.down[expert]))
        return out.view(*x.shape[:2], 3).mean(1)


class Batched(Fused):
    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        hidden = torch.bmm(flat.expand(4, -1, -1), self.up.transpose(1, 2)).relu()
        out = torch.baddbmm(flat.new_zeros(4, 1, 3), hidden, self.down.transpose(1, 2))
        return torch.einsum("ne,enk->nk", self.gate(flat).softmax(-1), out).view(*x.shape[:2], 3).mean(1)


class ConvByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.head = nn.Parameter(torch.randn(6, 8, 3)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.conv1d(x.mT, self.kernel, padding=1).mean(-1))


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ws = nn.ParameterList([torch.randn(8, 8), torch.randn(8, 8)])
        self.named, self.head = nn.ParameterDict({"a": torch.randn(8, 8)}), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for w in self.ws:
            x = (x @ w).tanh()
        return self.head((x @ self.named["a"]).mean(1))


class Packed(nn.Module):
    """An attention that cannot be taken apart."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


MODELS: dict[str, Any] = {
    "lstm": lambda: First(nn.LSTM(8, 10, batch_first=True), 10),
    "lstm, two layers, both ways": lambda: First(nn.LSTM(8, 10, 2, batch_first=True, bidirectional=True), 20),
    "lstm, projected": lambda: First(nn.LSTM(8, 10, batch_first=True, proj_size=4), 4),
    "gru": lambda: First(nn.GRU(8, 10, 2, batch_first=True, bias=False), 10),
    "rnn": lambda: First(nn.RNN(8, 10, batch_first=True), 10),
    "lstm cell": lambda: Cell(nn.LSTMCell(8, 10)),
    "gru cell": lambda: Cell(nn.GRUCell(8, 10)),
    "rnn cell": lambda: Cell(nn.RNNCell(8, 10)),
    "functional linear": Functional,
    "own parameters": Own,
    "experts in one parameter": Fused,
    "experts as one batch": Batched,
    "convolution by hand": ConvByHand,
    "parameters in lists": Listed,
    "packed attention": Packed,
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def inputs(samples: int = 32) -> Tensor:
    return torch.randn(samples, 5, 8, generator=torch.Generator().manual_seed(1))


def prepared(name: str, **options: Any) -> Objective:
    model, x = made(name), inputs()
    y = model(x).argmax(-1).detach()
    options = {"calibration": 16, "finetune": FineTune(epochs=1)} | options
    objective = Objective(Task(model, train=(x, y), validation=(x, y), **options), device=CPU)
    objective.prepare()
    return objective


def stored_layers(objective: Objective) -> list[StoredLayer]:
    return [layer for layer in objective.layers if isinstance(layer, StoredLayer)]


def all_at(objective: Objective, rank: Any) -> Plan:
    return Plan(
        {
            layer.name: Choice("stored", rank(layer)) if isinstance(layer, StoredLayer) else DENSE
            for layer in objective.layers
        }
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
def test_the_error_falls_with_the_rank_and_is_the_weights(name: str) -> None:
    objective = prepared(name, sensitivity="none")
    for layer in stored_layers(objective):
        weight = layer.module.weight.detach()
        last = 1.0 + FLOOR
        for rank in range(1, KIND.full_rank(layer) + 1):
            choice = Choice("stored", rank)
            stored = objective.decompositions.factors(layer, choice)
            error = objective.decompositions.error(layer, choice)
            found = float((stored().detach() - weight).square().sum() / weight.square().sum())
            assert found == pytest.approx(error, rel=1e-3, abs=1e-6) and error <= last
            last = error


@pytest.mark.parametrize("name", MODELS)
def test_the_error_is_the_measured_one_in_the_metric_of_the_gradients(name: str) -> None:
    objective = prepared(name)
    unreached = " ".join(objective.notes)  # an LSTM's last step backwards has nothing before it
    layers = {layer.name: layer for layer in stored_layers(objective) if layer.name not in unreached}
    batches = in_training_batches(objective.samples.calibration, objective.task.batch_size)
    scalar = Statistics(objective.task, objective.dense, [], 0, lambda *_: None).scalar
    found = weight_moments(objective.dense, layers, batches, scalar, objective.seed)
    for layer in layers.values():
        moments = found[layer.name]

        def size(lost: Tensor, layer: StoredLayer = layer, moments: Moments = moments) -> float:
            rows = moments.metric.weigh(layer.matrices.of(lost.double()))
            return float(((rows @ moments.covariance) * rows).sum())

        whole, last = size(layer.module.weight.detach()), 1.0 + FLOOR
        for rank in range(1, KIND.full_rank(layer) + 1):
            choice = Choice("stored", rank)
            lost = objective.decompositions.factors(layer, choice)().detach() - layer.module.weight.detach()
            error = objective.decompositions.error(layer, choice)
            assert size(lost) / whole == pytest.approx(error, rel=1e-2, abs=1e-5) and error <= last
            last = error


@torch.no_grad()
def test_the_outputs_change_less_than_by_the_weights_own_error() -> None:
    """At the same ranks, summed over the models: centred logits, which is what these errors stand for."""
    x, changes = inputs(256), {"none": 0.0, "auto": 0.0}
    for name in ("lstm", "gru", "functional linear", "experts in one parameter"):
        for sensitivity in changes:
            objective = prepared(name, sensitivity=sensitivity)
            change = objective.factorize(all_at(objective, lambda layer: KIND.full_rank(layer) // 2))(x) - made(name)(x)
            dense = made(name)(x)
            whole = (dense - dense.mean(-1, keepdim=True)).square().mean()
            changes[sensitivity] += float((change - change.mean(-1, keepdim=True)).square().mean() / whole)
    assert changes["auto"] < 0.9 * changes["none"]


@torch.no_grad()
def test_what_a_change_costs_is_predicted() -> None:
    """Within what the Kronecker form leaves out."""
    for name in ("functional linear", "own parameters", "experts in one parameter", "gru cell", "packed attention"):
        objective, x = prepared(name, calibration=2000), inputs(512)
        known = objective.decompositions
        dense = made(name)(x)
        for layer in stored_layers(objective):
            choice = Choice("stored", 1)
            plan = Plan({**dict.fromkeys(objective.by_name, DENSE), layer.name: choice})
            change = objective.factorize(plan)(x) - dense
            measured = float((change - change.mean(-1, keepdim=True)).square().flatten(1).sum(1).mean())
            predicted = known.mean_importance * known.importance[layer.name] * known.error(layer, choice)
            assert 1 / 3 < measured / predicted < 3


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
