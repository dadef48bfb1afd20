from pathlib import Path

import pytest
import torch
from torch import nn

from rankfront import Choice, FineTune, Plan, RankfrontError, Task, load
from rankfront.objectives.export.int8 import dequantized, entries_of_quantized, linears, quantized
from rankfront.objectives.export.model_files import save_weights
from rankfront.objectives.export.plan_files import save_plan
from rankfront.objectives.io.saved import file_bytes
from rankfront.objectives.kinds.skeleton import skeleton
from rankfront.objectives.objective import Objective
from tests.conftest import blobs, perceptron

torchao = pytest.importorskip("torchao", reason="torchao is not installed (an extra)")


def task(dense: nn.Module) -> Task:
    return Task(dense, blobs(400, 1), blobs(200, 2), finetune=FineTune(epochs=1), calibration=200, int8=True)


def mixed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10, bias=False), nn.Linear(10, 7))


def test_only_linears_of_their_own_weight_become_int8() -> None:
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    assert linears(tied) == {"2"}
    assert linears(mixed()) == {"3", "4"}


def test_what_is_predicted_is_what_is_saved_and_loads_again(tmp_path: Path) -> None:
    small = quantized(mixed())
    save_weights(tmp_path / "model.safetensors", small, int8=True)
    save_plan(tmp_path / "plan.json", Plan({}), {"int8": True})
    assert (tmp_path / "model.safetensors").stat().st_size == file_bytes(entries_of_quantized(mixed()))
    x = torch.randn(4, 3, 5, 5)
    assert torch.equal(load(tmp_path, mixed())(x), small(x))
    assert not torch.equal(mixed()(x), small(x))
    torch.testing.assert_close(small(x), mixed()(x), rtol=0.1, atol=0.02)


def test_ties_survive_a_load(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6))
        model[1].weight = model[0].weight
        return model

    small = quantized(tied())
    save_weights(tmp_path / "model.safetensors", small, int8=True)
    save_plan(tmp_path / "plan.json", Plan({}), {"int8": True})
    again, x = load(tmp_path, tied()), torch.randn(4, 6)
    assert again[0].weight is again[1].weight
    assert torch.equal(again(x), small(x))
    assert torch.equal(dequantized(again, tied(), Plan({}))[1].weight, small[0].weight)


def test_a_trial_is_scored_as_it_ships(dense: nn.Module, tmp_path: Path) -> None:
    objective = Objective(task(dense), device=torch.device("cpu"))
    objective.prepare()
    plan = Plan({"0": Choice("svd-identity", 4), "2": Choice("tt", 3)})
    outcome = objective(plan, 0)
    assert outcome.score == objective.score(outcome.model)
    assert outcome.metrics == objective.costs.of(plan)
    save_weights(tmp_path / "model.safetensors", outcome.model, int8=True)
    assert (tmp_path / "model.safetensors").stat().st_size == outcome.metrics.bytes
    assert objective.costs.start.bytes < objective.costs.dense.bytes
    for layer in objective.layers:
        for choice, change in zip(
            objective.decompositions.options[layer.name],
            objective.costs.changes(layer, objective.decompositions.options[layer.name]),
            strict=True,
        ):
            exact = objective.costs.of(Plan({layer.name: choice})).bytes - objective.costs.start.bytes
            assert abs(change[objective.costs.names.index("bytes")] - exact) <= 16


def test_it_can_be_trained_on_again(dense: nn.Module) -> None:
    plan = Plan({"0": Choice("svd", 4)})
    torch.manual_seed(0)
    plain = skeleton(dense, plan)
    for parameter in plain.parameters():
        nn.init.normal_(parameter, std=0.3)
    small = quantized(plain)
    again = dequantized(small, dense, plan)
    x = torch.randn(6, 12)
    torch.testing.assert_close(again(x), small(x), rtol=1e-3, atol=1e-3)
    again(x).sum().backward()
    assert all(p.grad is not None for p in again.parameters())


def test_a_file_of_other_shapes_is_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "model.safetensors", mixed())
    save_plan(tmp_path / "plan.json", Plan({}), {"int8": True})
    with pytest.raises(RankfrontError, match="must fit the model and the plan"):
        load(tmp_path, mixed())


def test_without_torchao_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchao.quantization", None)
    with pytest.raises(RankfrontError, match=r"pip install 'rankfront\[int8\]'"):
        quantized(perceptron())


def test_linears_of_a_single_input_stay_in_floating_point() -> None:
    model = nn.Sequential(nn.Linear(12, 1), nn.Linear(1, 12), nn.Linear(12, 4))
    assert linears(model) == {"0", "2"}
    x = torch.randn(5, 12)
    torch.testing.assert_close(quantized(model)(x), model(x), rtol=0.05, atol=0.05)
