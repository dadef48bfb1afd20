"""The contract of a kind: every kind × every layer shape."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfront import RankfrontError
from rankfront.objectives.calibration import calibrate
from rankfront.objectives.data import Split
from rankfront.objectives.kind import Decomposition, Kind
from rankfront.objectives.kinds import KINDS, kind_named
from rankfront.objectives.layer import Layer, find_layers
from rankfront.objectives.metrics import count_flops, count_params

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(12, 9), (12,)),
    "linear, no bias": (lambda: nn.Linear(9, 14, bias=False), (9,)),
    "linear, wide": (lambda: nn.Linear(24, 6), (24,)),
    "linear, tall": (lambda: nn.Linear(6, 24), (6,)),
    "linear on tokens": (lambda: nn.Linear(8, 8), (5, 8)),
    "conv": (lambda: nn.Conv2d(6, 8, 3, padding=1), (6, 7, 8)),
    "conv, no bias": (lambda: nn.Conv2d(6, 8, 3, bias=False), (6, 7, 8)),
    "conv, strided": (lambda: nn.Conv2d(5, 9, 3, stride=2, padding=1), (5, 9, 7)),
    "conv, dilated": (lambda: nn.Conv2d(5, 9, 3, dilation=2, padding=2), (5, 9, 7)),
    "conv, oblong": (lambda: nn.Conv2d(5, 9, (3, 1), stride=(1, 2), padding=(1, 0)), (5, 6, 7)),
    "conv, 1×1": (lambda: nn.Conv2d(8, 8, 1), (8, 4, 4)),
    "conv, same": (lambda: nn.Conv2d(4, 8, 3, padding="same"), (4, 6, 6)),
    "conv, reflected": (lambda: nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"), (4, 6, 6)),
    "conv, circular": (lambda: nn.Conv2d(4, 40, 3, padding=(1, 0), padding_mode="circular"), (4, 6, 6)),
}
CASES = [pytest.param(KINDS[k], name, id=f"{k}: {name}") for k, name in itertools.product(KINDS, LAYERS)]


def layer_and_inputs(build: Any, shape: tuple[int, ...], samples: int = 64) -> tuple[nn.Module, Layer, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(build())
        mixing = torch.randn(shape[0], shape[0])
        inputs = torch.randn(samples, *shape) + 0.5
        inputs = torch.einsum("ij,nj...->ni...", mixing, inputs) if len(shape) > 1 else inputs @ mixing
    (layer,) = find_layers(model, inputs[:1])
    return model, layer, inputs


def full_rank(layer: Layer) -> int:
    return min(layer.out_features, layer.in_features)


def decomposed(kind: Kind, model: nn.Module, layer: Layer, inputs: Tensor) -> Decomposition:
    batches = list(Split((inputs, torch.zeros(len(inputs)))).batches(16))
    return kind.decompose(layer, calibrate(model, {"it": (layer, kind)}, batches)["it"])


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.parametrize("whitened", [True, False], ids=["whitened", "plain"])
def test_full_rank_reproduces_the_layer(kind: Kind, name: str, whitened: bool) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    decomposition = decomposed(kind, model, layer, inputs) if whitened else kind.decompose(layer, None)
    expected = model(inputs)
    torch.testing.assert_close(
        decomposition.module(full_rank(layer))(inputs), expected, rtol=1e-4, atol=1e-4 * float(expected.std())
    )
    assert decomposition.error(full_rank(layer)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_predicted_error_is_the_measured_one_and_falls_with_rank(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    decomposition = decomposed(kind, model, layer, inputs)
    expected = model(inputs)
    flat = expected.detach().movedim(1, -1) if expected.ndim == 4 else expected.detach()
    rows = flat.reshape(-1, layer.out_features)
    # What rank 0 would leave: the mean where there is a bias to hold it, else nothing.
    total = rows - rows.mean(0) if layer.module.bias is not None else rows
    last = 1.0
    for rank in range(1, full_rank(layer) + 1):
        error = decomposition.error(rank)
        assert error <= last + 1e-12
        last = error
        measured = (decomposition.module(rank)(inputs) - expected).square().sum() / total.square().sum()
        assert float(measured) == pytest.approx(error, rel=1e-2, abs=1e-6)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_whitened_is_no_worse_than_plain_in_the_output(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    whitened, plain = decomposed(kind, model, layer, inputs), kind.decompose(layer, None)
    expected = model(inputs)
    for rank in range(1, full_rank(layer)):
        errors = [float((d.module(rank)(inputs) - expected).square().sum()) for d in (whitened, plain)]
        assert errors[0] <= errors[1] * (1 + 1e-4) + 1e-6


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_cost_is_what_is_counted(kind: Kind, name: str) -> None:
    _, layer, inputs = layer_and_inputs(*LAYERS[name], samples=1)
    decomposition = kind.decompose(layer, None)
    for rank in range(1, full_rank(layer) + 1):
        cost = kind.cost(layer, rank)
        module = decomposition.module(rank)
        assert cost.params == count_params(module) == count_params(kind.skeleton(layer, rank))
        assert cost.flops == count_flops(module, inputs)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_proposed_ranks_are_exactly_those_that_save(kind: Kind, name: str) -> None:
    _, layer, _ = layer_and_inputs(*LAYERS[name], samples=1)
    saving = [r for r in range(1, full_rank(layer) + 1) if kind.cost(layer, r).params < layer.params]
    assert list(kind.ranks(layer)) == saving
    assert all(kind.cost(layer, r).flops < layer.flops for r in saving)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_restores_what_was_cached(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    before = decomposed(kind, model, layer, inputs)
    after = kind.restore(layer, before.tensors())
    assert after.error(2) == before.error(2)
    assert torch.equal(after.module(2)(inputs), before.module(2)(inputs))
    with pytest.raises(KeyError):
        kind.restore(layer, {})


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_convolution(data: st.DataObject) -> None:
    draw = data.draw
    kind = draw(st.sampled_from(list(KINDS.values())))
    size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.integers(1, 2))
    conv = nn.Conv2d(
        draw(st.integers(1, 6)),
        draw(st.integers(1, 9)),
        size,
        stride=draw(st.integers(1, 3)),
        padding=draw(st.integers(0, 1)),
        dilation=dilation,
        bias=draw(st.booleans()),
    )
    height, width = (dilation * (k - 1) + draw(st.integers(1, 4)) for k in size)
    model, layer, inputs = layer_and_inputs(lambda: conv, (conv.in_channels, height, width), samples=8)
    rank = draw(st.integers(1, full_rank(layer)))
    decomposition = decomposed(kind, model, layer, inputs)
    module = decomposition.module(rank)
    assert kind.cost(layer, rank) == (count_params(module), count_flops(module, inputs[:1]))
    assert module(inputs).shape == model(inputs).shape
    reference = model(inputs)
    torch.testing.assert_close(
        decomposition.module(full_rank(layer))(inputs), reference, rtol=1e-3, atol=1e-3 * float(reference.abs().max())
    )


def test_unknown_kind_names_the_known() -> None:
    with pytest.raises(RankfrontError, match=r"one of dense, svd.*but got 'pca'"):
        kind_named("pca")


def test_calibration_names_the_layer_whose_outputs_are_not_finite() -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS["linear"])
    with pytest.raises(RankfrontError, match=r"layer 0 Linear\(9, 12\)"):
        decomposed(KINDS["svd"], model, layer, inputs * torch.inf)
