"""Whatever passes a model sets every module's mode back, that of a norm which the user froze by ``eval()``, too."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from rankfront import Score, Split
from rankfront.objectives.calibration.calibrate import calibrate
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.metrics.evaluation import evaluate
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.mode import in_mode
from rankfront.objectives.model.same import computed
from rankfront.objectives.training.batchnorm import reestimate_where_it_helps
from rankfront.objectives.training.criterion import Criterion
from rankfront.objectives.training.loss import distance
from rankfront.objectives.training.norms import frozen_norms
from rankfront.objectives.training.refit import refit

X, Y = torch.randn(32, 6), torch.arange(32) % 4
BATCHES = [Batch(X, Y)]


def network() -> nn.Sequential:
    first = nn.Sequential(nn.Linear(6, 4, bias=False), nn.Linear(4, 8))
    return nn.Sequential(first, nn.BatchNorm1d(8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 4))


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), *network()[1:])


PASSES: dict[str, Callable[[nn.Module], object]] = {
    "evaluate": lambda model: evaluate(model, Split((X, Y)), Score.given(None)),
    "distance": lambda model: distance(model, copy.deepcopy(model).eval(), BATCHES, Criterion()),
    "re-estimate": lambda model: reestimate_where_it_helps(model, BATCHES, lambda _: 1.0, ["1"]),
    "calibrate": lambda model: calibrate(
        model, {one.name: (one, "inputs") for one in find_layers(copy.deepcopy(model), X)}, BATCHES
    ),
    "refit": lambda model: refit(model, plain(), list(find_layers(plain(), X))[:1], BATCHES),
    "frozen norms": lambda model: frozen_norms(model, model),
    "compare": lambda model: computed(model, [X]),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", PASSES)
def test_every_module_keeps_its_mode(name: str, training: bool) -> None:
    model = network().train(training)
    model[1].train(not training)
    modes = [module.training for module in model.modules()]
    PASSES[name](model)
    assert [module.training for module in model.modules()] == modes


def test_modes_are_set_back_after_an_error() -> None:
    model = network()
    model[1].eval()
    with pytest.raises(ZeroDivisionError), in_mode(model, training=False):
        assert not any(module.training for module in model.modules())
        _ = 1 / 0
    assert model[0].training and not model[1].training
