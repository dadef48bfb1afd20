"""Every kind, where errors of some directions of an output cost more than others'."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rankfront.objectives.calibration.calibrate import calibrate
from rankfront.objectives.calibration.importance import importance_of
from rankfront.objectives.calibration.output_metric import OutputMetric
from rankfront.objectives.data.split import Split
from rankfront.objectives.kinds.error import FLOOR
from rankfront.objectives.kinds.kind import Decomposition, Kind
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.layer import Layer

from .test_kinds import CASES, LAYERS, layer_and_inputs, module, proposed


def metric_of(layer: Layer, *, diagonal: bool = False) -> OutputMetric:
    """Return one in which directions differ by a factor of a thousand."""
    out = layer.out_features // layer.groups
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(layer.groups, out, out, generator=generator, dtype=torch.float64)
    mixing = mixing * torch.logspace(0, -3, out, dtype=torch.float64)
    gradients = mixing @ mixing.mT
    return OutputMetric(gradients.diagonal(dim1=1, dim2=2) if diagonal else gradients)


def decomposed(kind: Kind, model: nn.Module, layer: Layer, inputs: Tensor, metric: OutputMetric) -> Decomposition:
    statistic = kind.wants(layer)
    assert statistic is not None
    batches = list(Split((inputs, torch.zeros(len(inputs)))).batches(16))
    moments = calibrate(model, {"it": (layer, statistic)}, batches)["it"]
    return kind.decompose(layer, moments._replace(metric=metric))


def outputs_by_group(layer: Layer, outputs: Tensor) -> Tensor:
    """Return ``(groups, out/groups, n)``, float64."""
    last = outputs if isinstance(layer.module, nn.Linear) else outputs.movedim(1, -1)
    return last.detach().reshape(-1, layer.out_features).double().T.unflatten(0, (layer.groups, -1))


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.parametrize("diagonal", [False, True], ids=["whole", "diagonal"])
def test_the_predicted_error_is_the_measured_one_in_the_metric(kind: Kind, name: str, diagonal: bool) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    metric = metric_of(layer, diagonal=diagonal)
    decomposition = decomposed(kind, model, layer, inputs, metric)
    expected = outputs_by_group(layer, model(inputs))
    total = expected - expected.mean(-1, keepdim=True) if layer.module.bias is not None else expected
    whole = float(metric.weigh(total).square().sum())
    last = float("inf")
    for rank in (*proposed(kind, layer, decomposition), kind.full_rank(layer)):
        error = decomposition.error(kind.inner(rank))
        assert error <= last
        last = error
        lost = outputs_by_group(layer, module(kind, layer, decomposition, rank)(inputs)) - expected
        assert float(metric.weigh(lost).square().sum()) / whole == pytest.approx(error, rel=1e-2, abs=1e-5)
    assert decomposition.error(kind.inner(kind.full_rank(layer))) == FLOOR


@pytest.mark.parametrize("name", [case.values[1] for case in CASES if case.values[0] is KINDS["svd"]])
def test_svd_is_the_truncated_svd_between_both_roots(name: str) -> None:
    """The oracle: singular values of ``L Y``, with ``Y`` the outputs themselves, group by group."""
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    metric = metric_of(layer)
    found = decomposed(KINDS["svd"], model, layer, inputs, metric)
    outputs = outputs_by_group(layer, model(inputs))
    if layer.module.bias is not None:
        outputs = outputs - outputs.mean(-1, keepdim=True)
    energy = torch.linalg.svdvals(metric.weigh(outputs)).square().sum(0)
    for rank in (1, 2, len(energy) - 1):
        assert found.error(rank) == pytest.approx(float(energy[rank:].sum() / energy.sum()), rel=1e-3, abs=1e-8)


@pytest.mark.parametrize("name", [case.values[1] for case in CASES if case.values[0] is KINDS["svd"]])
def test_a_layer_is_worth_what_its_outputs_are(name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    metric = metric_of(layer)
    outputs = outputs_by_group(layer, model(inputs))
    if layer.module.bias is not None:
        outputs = outputs - outputs.mean(-1, keepdim=True)
    exact = metric.scale * float(metric.weigh(outputs).square().sum()) / outputs.shape[-1]
    statistic = KINDS["svd"].wants(layer)
    assert statistic is not None
    batches = list(Split((inputs, torch.zeros(len(inputs)))).batches(16))
    moments = calibrate(model, {"it": (layer, statistic)}, batches)["it"]
    assert importance_of(layer, statistic, moments) is None
    assert importance_of(layer, statistic, moments._replace(metric=metric)) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("diagonal", [False, True], ids=["whole", "diagonal"])
def test_what_is_weighed_is_unweighed(diagonal: bool) -> None:
    (layer,) = [layer_and_inputs(*LAYERS["conv, grouped"])[1]]
    metric = metric_of(layer, diagonal=diagonal)
    rows = torch.randn(layer.groups, layer.out_features // layer.groups, 5, dtype=torch.float64)
    torch.testing.assert_close(metric.unweigh(metric.weigh(rows)), rows)
    second = rows @ rows.mT
    torch.testing.assert_close(metric.weigh_moments(second), metric.weigh(rows) @ metric.weigh(rows).mT)
