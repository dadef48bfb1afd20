import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rankfront import Plan
from rankfront.objectives.costs import Costs
from rankfront.objectives.factorize import skeleton
from rankfront.objectives.layer import find_layers
from rankfront.objectives.metrics import count

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
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_plan_costs_what_is_counted(name: str, data: st.DataObject) -> None:
    model, shape = MODELS[name]
    example = torch.zeros(1, *shape)
    costs = Costs(model, find_layers(model, example), example)
    plan = Plan({layer: data.draw(st.sampled_from(options)) for layer, options in costs.choices.items()})
    assert costs.of(plan) == count(skeleton(model, plan), example)


@pytest.mark.parametrize("name", MODELS)
def test_smallest_is_the_least_over_all_plans(name: str) -> None:
    model, shape = MODELS[name]
    example = torch.zeros(1, *shape)
    costs = Costs(model, find_layers(model, example), example)
    lowest = costs.of(Plan({layer: options[0] for layer, options in costs.choices.items()}))
    assert costs.smallest() == lowest
    assert costs.smallest().params < costs.dense.params
