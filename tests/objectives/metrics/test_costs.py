import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rankfront import DENSE, Choice, Plan
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.kinds.skeleton import skeleton
from rankfront.objectives.metrics.costs import Costs
from rankfront.objectives.metrics.registry import measure
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import Layer

shared = nn.Linear(24, 24)
MODELS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "perceptron": (nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.Linear(16, 3)), (12,)),
    "tied": (nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(24, 24)), (24,)),
    "convolutions": (
        nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, 3, stride=2, bias=False),
            nn.Flatten(),
            nn.Linear(72, 9),
        ),
        (3, 9, 9),
    ),
}


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_plan_costs_what_is_counted(name: str, data: st.DataObject) -> None:
    model, shape = MODELS[name]
    example = torch.zeros(1, *shape)
    costs = Costs(model, find_layers(model, example), example)
    plan = Plan({name: data.draw(st.sampled_from(choices(layer))) for name, layer in costs.layers.items()})
    assert costs.of(plan) == measure(skeleton(model, plan), example)


@pytest.mark.parametrize("name", MODELS)
def test_smallest_is_the_least_over_all_plans(name: str) -> None:
    model, shape = MODELS[name]
    example = torch.zeros(1, *shape)
    costs = Costs(model, find_layers(model, example), example)
    options = {name: choices(layer) for name, layer in costs.layers.items()}
    plans = [Plan(dict(zip(options, plan, strict=True))) for plan in itertools.product(*options.values())]
    smallest = costs.smallest(options)
    found = [costs.of(plan) for plan in plans]
    assert smallest.params == min(c.params for c in found) < costs.dense.params
    assert smallest.flops == min(c.flops for c in found)


def choices(layer: Layer) -> list[Choice]:
    """A few choices of every kind that takes the layer, and dense."""
    options = [
        Choice(kind.name, rank)
        for kind in KINDS.values()
        if kind.applies(layer)[0]
        for rank in (kind.smallest(layer), kind.full_rank(layer))
    ]
    return [*options[:4], *options[-2:], DENSE]
