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
from rankfront.objectives.calibration.calibrate import calibrate
from rankfront.objectives.data.split import Split
from rankfront.objectives.kinds.error import FLOOR
from rankfront.objectives.kinds.kind import Decomposition, Kind
from rankfront.objectives.kinds.registry import KINDS, kind_named
from rankfront.objectives.metrics.flops import count_flops
from rankfront.objectives.metrics.params import count_params
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import Layer
from rankfront.objectives.plan import Rank

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
LAYERS |= {
    "linear, 5 tokens of 12": (lambda: nn.Linear(12, 10, bias=False), (5, 12)),
    "conv, 5×3": (lambda: nn.Conv2d(3, 8, (5, 3), padding=(2, 1)), (3, 9, 8)),
    "conv, strided by columns": (lambda: nn.Conv2d(4, 6, 3, stride=(1, 2), padding=1, bias=False), (4, 6, 9)),
    "conv, one pixel deep": (lambda: nn.Conv2d(3, 12, 3, padding=1), (3, 6, 6)),
    "conv, grouped": (lambda: nn.Conv2d(8, 12, 3, padding=1, groups=2), (8, 6, 6)),
    "conv, grouped, no bias": (lambda: nn.Conv2d(6, 9, 1, groups=3, bias=False), (6, 6, 6)),
    "conv 1d": (lambda: nn.Conv1d(6, 9, 5, stride=2, padding=2), (6, 17)),
    "conv 3d": (lambda: nn.Conv3d(3, 6, (1, 3, 3), padding=(0, 1, 1), bias=False), (3, 3, 5, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 8, 4, 2, 1), (6, 5, 4)),
    "transposed, no bias": (lambda: nn.ConvTranspose2d(5, 9, 3, bias=False), (5, 4, 4)),
    "transposed, grouped, dilated": (
        lambda: nn.ConvTranspose2d(8, 12, 3, 2, 1, output_padding=1, groups=2, dilation=2), (8, 4, 5)
    ),
    "transposed, tall": (lambda: nn.ConvTranspose2d(2, 20, (1, 2), stride=(1, 2)), (2, 5, 4)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(6, 9, 5, stride=3, padding=1, output_padding=2), (6, 7)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(4, 6, (1, 2, 3), stride=(1, 2, 1), bias=False), (4, 3, 3, 4)),
}  # fmt: skip


def takes(kind: Kind, name: str) -> bool:
    build, shape = LAYERS[name]
    (layer,) = find_layers(nn.Sequential(build()), torch.zeros(1, *shape))
    return kind.applies(layer)[0]


CASES = [
    pytest.param(KINDS[k], name, id=f"{k}: {name}")
    for k, name in itertools.product(KINDS, LAYERS)
    if takes(KINDS[k], name)
]


def layer_and_inputs(build: Any, shape: tuple[int, ...], samples: int = 64) -> tuple[nn.Module, Layer, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(build())
        mixing = torch.randn(shape[0], shape[0])
        inputs = torch.randn(samples, *shape) + 0.5
        inputs = torch.einsum("ij,nj...->ni...", mixing, inputs) if len(shape) > 1 else inputs @ mixing
    (layer,) = find_layers(model, inputs[:1])
    return model, layer, inputs


def decomposed(kind: Kind, model: nn.Module, layer: Layer, inputs: Tensor) -> Decomposition:
    batches = list(Split((inputs, torch.zeros(len(inputs)))).batches(16))
    statistic = kind.wants(layer)
    assert statistic is not None
    return kind.decompose(layer, calibrate(model, {"it": (layer, statistic)}, batches)["it"])


def module(kind: Kind, layer: Layer, decomposition: Decomposition, rank: Rank) -> nn.Module:
    return kind.condense(layer, rank, decomposition.factors(kind.inner(rank)))


def proposed(kind: Kind, layer: Layer, decomposition: Decomposition) -> list[Rank]:
    return list(kind.ranks(layer, decomposition))


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.parametrize("whitened", [True, False], ids=["whitened", "plain"])
def test_full_rank_reproduces_the_layer(kind: Kind, name: str, whitened: bool) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    decomposition = decomposed(kind, model, layer, inputs) if whitened else kind.decompose(layer, None)
    expected = model(inputs)
    full = kind.full_rank(layer)
    torch.testing.assert_close(
        module(kind, layer, decomposition, full)(inputs),
        expected,
        rtol=1e-4,
        atol=1e-4 * float(expected.detach().std()),
    )
    assert decomposition.error(kind.inner(full)) == FLOOR


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_width_is_that_of_the_narrowest_map_inside(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    decomposition = decomposed(kind, model, layer, inputs)
    positions = inputs.numel() // inputs.shape[-1]
    for rank in (*proposed(kind, layer, decomposition), kind.full_rank(layer)):
        factors = decomposition.factors(kind.inner(rank))  # before they are condensed: the same function
        inside: list[int] = []

        def note(part: nn.Module, _: Any, output: Tensor, inside: list[int] = inside) -> None:
            inside.append(output.numel() // positions if isinstance(part, nn.Linear) else output.shape[1])

        for part in factors.modules():
            if isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)):
                part.register_forward_hook(note)
        factors(inputs)
        assert kind.width(layer, rank) == min(layer.width, *(width // layer.groups for width in inside))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_predicted_error_is_the_measured_one_and_falls_with_rank(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    decomposition = decomposed(kind, model, layer, inputs)
    expected = model(inputs).detach()
    flat = expected if isinstance(layer.module, nn.Linear) else expected.movedim(1, -1)
    rows = flat.reshape(-1, layer.out_features)
    # What rank 0 would leave: the mean where there is a bias to hold it, else nothing.
    total = rows - rows.mean(0) if layer.module.bias is not None else rows
    last = float("inf")
    for rank in (*proposed(kind, layer, decomposition), kind.full_rank(layer)):
        error = decomposition.error(kind.inner(rank))
        assert error <= last
        last = error
        found = module(kind, layer, decomposition, rank)(inputs)
        assert float((found - expected).square().sum() / total.square().sum()) == pytest.approx(
            error, rel=1e-2, abs=1e-6
        )


@pytest.mark.parametrize(("kind", "name"), [case for case in CASES if case.values[0] is KINDS["svd"]])
def test_whitened_is_no_worse_than_plain_in_the_output(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    whitened, plain = decomposed(kind, model, layer, inputs), kind.decompose(layer, None)
    expected = model(inputs)
    for rank in proposed(kind, layer, whitened):
        errors = [float((module(kind, layer, d, rank)(inputs) - expected).square().sum()) for d in (whitened, plain)]
        assert errors[0] <= errors[1] * (1 + 1e-4) + 1e-6


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_cost_is_what_is_counted(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    decomposition = decomposed(kind, model, layer, inputs)
    for rank in (kind.smallest(layer), *proposed(kind, layer, decomposition), kind.full_rank(layer)):
        cost = kind.cost(layer, rank)
        skeleton = kind.skeleton(layer, rank)
        assert cost.params == count_params(skeleton)
        assert cost.flops == count_flops(skeleton.to_empty(device="cpu"), inputs[:1])
        assert kind.accepts(layer, rank)[0]
        if rank != kind.smallest(layer):
            found = module(kind, layer, decomposition, rank)
            assert {n: t.shape for n, t in found.state_dict().items()} == {
                n: t.shape for n, t in skeleton.state_dict().items()
            }


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_proposed_ranks_save_and_the_smallest_is_the_cheapest(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    ranks = proposed(kind, layer, decomposed(kind, model, layer, inputs))
    params = [kind.cost(layer, rank).params for rank in ranks]
    assert params == sorted(set(params))
    assert all(p < layer.params for p in params)
    smallest = kind.cost(layer, kind.smallest(layer)).params
    assert (params[0] == smallest) if params else (smallest >= layer.params)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_impossible_ranks_are_named(kind: Kind, name: str) -> None:
    _, layer, _ = layer_and_inputs(*LAYERS[name], samples=1)
    full = kind.full_rank(layer)
    too_large = full + 1 if isinstance(full, int) else (full[0] + 1, *full[1:])
    for wrong in (too_large, 0, (), (1,) * 7):
        accepted, rule = kind.accepts(layer, wrong)
        assert not accepted and rule


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_restores_what_was_cached(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    before = decomposed(kind, model, layer, inputs)
    after = kind.restore(layer, before.tensors())
    for rank in proposed(kind, layer, before)[:3]:
        assert after.error(kind.inner(rank)) == before.error(kind.inner(rank))
        torch.testing.assert_close(module(kind, layer, after, rank)(inputs), module(kind, layer, before, rank)(inputs))
    with pytest.raises(KeyError):
        kind.restore(layer, {})


@settings(max_examples=120)
@given(data=st.data())
def test_any_convolution(data: st.DataObject) -> None:
    draw = data.draw
    kind = draw(st.sampled_from(list(KINDS.values())))
    size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.integers(1, 2))
    groups = draw(st.sampled_from([1, 1, 2]))
    conv = nn.Conv2d(
        groups * draw(st.integers(2 if groups > 1 else 1, 6)),
        groups * draw(st.integers(1, 9)),
        size,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=draw(st.integers(0, 2)),
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "zeros", "replicate"])),
    )
    height, width = (dilation * (k - 1) + draw(st.integers(1, 4)) for k in size)
    model, layer, inputs = layer_and_inputs(lambda: conv, (conv.in_channels, height, width), samples=8)
    if not kind.applies(layer)[0]:
        return
    decomposition = decomposed(kind, model, layer, inputs)
    full = kind.full_rank(layer)
    reference = model(inputs)
    scale = float(reference.detach().abs().max())
    torch.testing.assert_close(
        module(kind, layer, decomposition, full)(inputs), reference, rtol=1e-3, atol=1e-3 * scale
    )
    if ranks := proposed(kind, layer, decomposition):
        rank = draw(st.sampled_from(ranks))
        found = module(kind, layer, decomposition, rank)
        assert kind.cost(layer, rank) == (count_params(found), count_flops(found, inputs[:1]))
        rows = reference - reference.mean((0, 2, 3), keepdim=True) if conv.bias is not None else reference
        # Outputs that do not vary (a window on nothing but padding) have no error to speak of, only rounding's.
        least = 1e-30 + 1e-9 * float(reference.detach().square().sum())
        measured = float((found(inputs) - reference).square().sum() / rows.square().sum().clamp_min(least))
        assert measured == pytest.approx(decomposition.error(kind.inner(rank)), rel=2e-2, abs=1e-5)


def test_unknown_kind_names_the_known() -> None:
    with pytest.raises(RankfrontError, match=r"one of dense, svd.*but got 'pca'"):
        kind_named("pca")


def test_calibration_names_the_layer_whose_outputs_are_not_finite() -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS["linear"])
    with pytest.raises(RankfrontError, match=r"layer 0 Linear\(9, 12\)"):
        decomposed(KINDS["svd"], model, layer, inputs * torch.inf)


def test_calibration_on_a_single_row_says_so() -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS["linear"])
    with pytest.raises(RankfrontError, match=r"2 samples or more, but layer 0 Linear\(9, 12\) saw 1: give more"):
        decomposed(KINDS["svd"], model, layer, inputs[:1])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_reason_is_given_where_something_is_refused_and_only_there(name: str, kind: Kind) -> None:
    _, layer, _ = layer_and_inputs(*LAYERS[name], samples=1)
    applies, reason = kind.applies(layer)
    assert applies == (reason == "")
    if applies:
        assert kind.accepts(layer, kind.smallest(layer)) == kind.accepts(layer, kind.full_rank(layer)) == (True, "")
        for wrong in (0, (0, 0), (), 10**6):
            accepted, rule = kind.accepts(layer, wrong)
            assert not accepted and rule
