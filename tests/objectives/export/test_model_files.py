import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rankfront import DENSE, Choice, Plan, RankfrontError, load
from rankfront.objectives.export.model_files import save_weights
from rankfront.objectives.export.plan_files import save_plan
from rankfront.objectives.io.files import write_text
from rankfront.objectives.io.tensors import read_tensors
from rankfront.objectives.kinds.factorize import factorize
from rankfront.objectives.kinds.skeleton import skeleton
from rankfront.objectives.kinds.svd import KIND
from rankfront.objectives.model.finding import find_layers
from tests.conftest import perceptron

PLAN = Plan({"0": Choice("svd", 3), "2": DENSE, "4": Choice("svd", 2)})


def save(folder: Path, dense: nn.Module, plan: Plan = PLAN) -> nn.Module:
    layers = {layer.name: layer for layer in find_layers(dense, torch.zeros(1, 12))}
    small = factorize(dense, layers, plan, lambda layer, choice: KIND.decompose(layer, None).factors(choice.rank))
    save_weights(folder / "model.safetensors", small)
    save_plan(folder / "plan.json", plan, {"trial": 3})
    return small.eval()


def test_rebuilds_the_very_same_network(tmp_path: Path) -> None:
    small = save(tmp_path, perceptron())
    again = load(tmp_path, perceptron(seed=9))
    x = torch.randn(5, 12)
    assert torch.equal(again(x), small(x))
    assert not again.training
    assert isinstance(again[0], nn.Sequential) and isinstance(again[2], nn.Linear)


def test_the_dense_model_stays_as_it_was(tmp_path: Path) -> None:
    dense = perceptron()
    before = {name: value.clone() for name, value in dense.state_dict().items()}
    small = save(tmp_path, dense)
    assert dense.state_dict().keys() == before.keys()
    small[2].weight.data.zero_()
    assert all(torch.equal(value, before[name]) for name, value in dense.state_dict().items())


def test_tied_layers_stay_tied(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        shared = nn.Linear(12, 12)
        return nn.Sequential(shared, nn.ReLU(), shared)

    small = save(tmp_path, tied(), Plan({"0": Choice("svd", 2)}))
    assert small[0] is small[2]
    again = load(tmp_path, tied())
    x = torch.randn(5, 12)
    assert again[0] is again[2] and torch.equal(again(x), small(x))
    tensors, _ = read_tensors(tmp_path / "model.safetensors")
    assert sorted(tensors) == ["0.0.weight", "0.1.bias", "0.1.weight"]


def drop_plan(folder: Path) -> None:
    (folder / "plan.json").unlink()


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def pickle(folder: Path) -> None:
    torch.save({"a": 1}, folder / "model.safetensors")


def other(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        data = json.loads((folder / "plan.json").read_text())
        data.update(changes)
        write_text(folder / "plan.json", json.dumps(data))

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (drop_plan, "readable JSON"),
        (truncate, "whole safetensors"),
        (pickle, "whole safetensors"),
        (other(format=7), "format 1, but has 7"),
        (other(plan=[]), "JSON object, but got list"),
        (other(plan={"0": {"kind": "svd", "rank": 4}}), "tensor"),
        (other(plan={"0": {"kind": "svd", "rank": 10**6}}), r"rank of layer 0 .* from 1 to 12"),
        (other(plan={"0": {"kind": "svd", "rank": 10**12}}), "one or more positive integers"),
        (other(plan={"0": {"kind": "tucker2", "rank": [1, 1]}}), "tucker2 cannot take layer 0"),
        (other(plan={"nope": {"kind": "svd", "rank": 4}}), "no layer 'nope'"),
        (other(plan={"0": {"kind": "pca", "rank": 4}}), "kind must be one of"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path: Path, damage: Any, said: str) -> None:
    save(tmp_path, perceptron())
    damage(tmp_path)
    with pytest.raises(RankfrontError, match=said):
        load(tmp_path, perceptron())


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match="not there"):
        load(tmp_path / "none", perceptron())


def test_skeleton_replaces_the_root_itself() -> None:
    root = skeleton(nn.Linear(12, 12), Plan({"": Choice("svd", 2)}))
    assert isinstance(root, nn.Sequential)


@pytest.mark.parametrize("given", [(nn.Linear(2, 2), "runs/mine"), ("runs/mine", nn.Linear), (3, nn.Linear(2, 2))])
def test_load_says_what_it_takes(given: tuple[Any, Any]) -> None:
    with pytest.raises(RankfrontError, match=r"load takes a path and a network .* but got"):
        load(*given)
