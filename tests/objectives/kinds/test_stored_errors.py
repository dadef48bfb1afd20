"""Errors of kind ``stored``: those of the weight, and in the metric of the parameter's gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rankfront import DENSE, Choice, Plan
from rankfront.objectives.calibration.moments import Moments
from rankfront.objectives.calibration.samples import in_training_batches
from rankfront.objectives.calibration.weight_moments import weight_moments
from rankfront.objectives.kinds.error import FLOOR
from rankfront.objectives.model.stored_layer import StoredLayer
from rankfront.objectives.statistics import Statistics
from tests.objectives.kinds.stored_models import KIND, MODELS, all_at, inputs, made, prepared, stored_layers


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
