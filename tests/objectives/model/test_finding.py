import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rankfront import RankfrontError
from rankfront.objectives.kinds.probe import without_unreplaceable
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import find_layers, layers_named


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()) for _ in range(2)])
        self.blocks[1][0] = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.head = nn.ModuleDict({"out": nn.Linear(8, 5)})

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head["out"](x.mean((2, 3)))


def test_finds_layers_in_any_tree() -> None:
    layers = find_layers(Nested(), torch.zeros(1, 3, 8, 8))
    assert [layer.name for layer in layers] == ["blocks.0.0", "blocks.1.0", "head.out"]
    assert [layer.positions for layer in layers] == [64, 16, 1]
    assert [layer.params for layer in layers] == [3 * 8 * 9 + 8, 8 * 8 * 9 + 8, 45]
    assert layers.left_dense == {}


def test_leaves_the_model_as_it_was() -> None:
    model = Nested().train()
    model.blocks[0].eval()
    find_layers(model, torch.zeros(1, 3, 8, 8))
    assert model.training and not model.blocks[0].training and model.blocks[1].training
    assert all(not m._forward_hooks for m in model.modules())


def test_a_module_registered_twice_is_one_layer_with_all_its_calls() -> None:
    shared = nn.Linear(4, 4)
    layers = find_layers(nn.Sequential(shared, nn.ReLU(), shared), torch.zeros(1, 4))
    (layer,) = layers
    assert layer.paths == ("0", "2")
    assert layer.positions == 2


def test_modules_that_share_a_weight_are_one_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    (layer,) = find_layers(model, torch.zeros(1, 4))
    assert layer.paths == ("0", "1")


def embedding_tied() -> nn.Module:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False))
    model[1].weight = model[0].weight
    return model


def biases_apart() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    return model


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class OwnLinear(nn.Linear):
    pass


@pytest.mark.parametrize(
    ("build", "example", "name", "reason"),
    [
        (embedding_tied, torch.zeros(1, 2, dtype=torch.long), "1", "shared with a Embedding"),
        (biases_apart, torch.zeros(1, 4), "1", "biases of their own"),
        (Unused, torch.zeros(1, 4), "unused", "not called"),
        (lambda: nn.Sequential(OwnLinear(4, 4)), torch.zeros(1, 4), "0", "subclass"),
        (lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=4)), torch.zeros(1, 4, 5, 5), "0", "depthwise"),
        (
            lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))),
            torch.zeros(1, 4),
            "0",
            "Parametrized",
        ),
    ],
)
def test_says_why_a_layer_is_left_dense(
    build: Callable[[], nn.Module], example: Tensor, name: str, reason: str
) -> None:
    layers = find_layers(build(), example)
    assert name not in [layer.name for layer in layers]
    assert reason in layers.left_dense[name]


def test_excludes_by_pattern() -> None:
    layers = find_layers(Nested(), torch.zeros(1, 3, 8, 8), ["blocks.*"])
    assert [layer.name for layer in layers] == ["head.out"]
    assert "blocks.*" in layers.left_dense["blocks.0.0"]
    with pytest.raises(RankfrontError, match=r"'nothing\.\*' matches none"):
        find_layers(Nested(), torch.zeros(1, 3, 8, 8), ["nothing.*"])


def test_says_what_the_model_refuses() -> None:
    said = r"must accept a sample .* layer blocks\.0\.0 Conv2d\(8, 3, 3, 3\), given \(1, 7, 8, 8\)"
    with pytest.raises(RankfrontError, match=said):
        find_layers(Nested(), torch.zeros(1, 7, 8, 8))


def test_refuses_weights_that_are_not_finite() -> None:
    model = Nested()
    with torch.no_grad():
        model.head["out"].weight[0, 0] = math.nan
    with pytest.raises(RankfrontError, match=r"layer head\.out Linear\(5, 8\) hold NaN"):
        find_layers(model, torch.zeros(1, 3, 8, 8))


def test_layers_by_name_need_no_run() -> None:
    layers = layers_named(Nested(), ["head.out", "no.such"])
    assert list(layers) == ["head.out"]
    assert layers["head.out"].in_features == 8


class ReadsAttributes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(input=x).view(-1, self.head.in_features))


def test_a_layer_whose_attributes_are_read_is_replaced() -> None:
    model, example = ReadsAttributes(), torch.zeros(1, 8)
    layers = without_unreplaceable(model, find_layers(model, example), example, [KINDS["svd"]])
    assert [layer.name for layer in layers] == ["body", "head"]
