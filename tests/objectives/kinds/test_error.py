"""No result hangs on the last bits of a decomposition."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rankfront import Task
from rankfront.objectives.kinds.error import FLOOR, rank_that_leaves, rounded
from rankfront.objectives.kinds.kind import Cost, worthwhile
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import Layer
from rankfront.objectives.objective import Objective
from rankfront.objectives.plan import DENSE, Rank
from tests.cpus import another_cpu
from tests.objectives.kinds.test_kinds import CASES, LAYERS, decomposed, layer_and_inputs, proposed

SEEDS = range(4)


@given(st.floats(0, 10), st.floats(-1e-13, 1e-13))
def test_rounding_keeps_six_digits_and_nothing_below_the_floor(error: float, noise: float) -> None:
    assert rounded(error) == pytest.approx(error, rel=5e-6, abs=FLOOR)
    assert rounded(error) >= FLOOR > 0
    assert rounded(rounded(error)) == rounded(error)
    assert rounded(error * (1 + noise)) == pytest.approx(rounded(error), rel=2e-5)  # a digit more or less at most


@pytest.mark.parametrize("nothing", [0.0, -1e-17, 1e-16, 9e-10, math.nan])
def test_no_factorization_is_free_of_error(nothing: float) -> None:
    assert rounded(nothing) == FLOOR


@pytest.mark.parametrize("noise", [0.0, 1e-16, -1e-16])
def test_what_is_left_out_is_compared_without_its_last_bits(noise: float) -> None:
    tail = torch.tensor([1.0, 0.25 + noise, 0.1, 1e-16, 3e-17], dtype=torch.float64)
    assert [rank_that_leaves(tail, allowed) for allowed in (1.0, 0.25, 0.1, 1e-17, 0.0)] == [0, 1, 2, 3, 3]


class Priced:
    """Ranks (params, flops) of those costs."""

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        assert isinstance(rank, tuple)
        return Cost(*rank)


def test_of_ranks_that_err_equally_the_cheaper_one_stays() -> None:
    (layer,) = find_layers(nn.Sequential(nn.Linear(10, 10)), torch.zeros(1, 10))
    errors: dict[Rank, float] = {(40, 9): 0.5, (40, 7): 0.5, (30, 9): 0.5, (50, 1): 0.4, (60, 1): 0.4, (200, 1): 0.1}
    assert worthwhile(Priced(), layer, errors) == [(30, 9), (50, 1)]
    del errors[30, 9]
    assert worthwhile(Priced(), layer, errors) == [(40, 7), (50, 1)]


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.parametrize("whitened", [True, False], ids=["whitened", "plain"])
def test_another_cpu_proposes_the_same_ranks_with_the_same_errors(kind: Any, name: str, whitened: bool) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])

    def told() -> dict[Rank, float]:
        found = decomposed(kind, model, layer, inputs) if whitened else kind.decompose(layer, None)
        return {rank: found.error(kind.inner(rank)) for rank in proposed(kind, layer, found)}

    here = told()
    assert all(error >= FLOOR for error in here.values())
    for seed in SEEDS:
        with another_cpu(seed):
            assert told() == here


def low_rank(outputs: int, inputs: int, rank: int) -> nn.Linear:
    """A layer that a factorization reproduces: its errors are nothing but last bits from that rank on."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(outputs, rank) @ torch.randn(rank, inputs))
    return layer


def prepared(kinds: tuple[str, ...]) -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), low_rank(20, 20, 5), nn.ReLU(), nn.Linear(20, 4))
    x, y = torch.randn(128, 12), torch.randint(4, (128,))
    objective = Objective(Task(model, (x, y), (x, y), calibration=96, kinds=kinds), device=torch.device("cpu"))
    objective.prepare()
    return objective


@pytest.mark.parametrize("kinds", [tuple(KINDS), ("svd",), ("svd-identity", "tt")], ids=str)
def test_another_cpu_has_the_same_choices_and_only_dense_is_free_of_error(kinds: tuple[str, ...]) -> None:
    def told() -> dict[str, dict[Any, float]]:
        objective = prepared(kinds)
        found = objective.decompositions
        return {n: {c: found.error(objective.by_name[n], c) for c in cs} for n, cs in found.options.items()}

    here = told()
    for errors in here.values():
        assert errors[DENSE] == 0 < min(error for choice, error in errors.items() if choice != DENSE)
    for seed in SEEDS:
        with another_cpu(seed):
            assert told() == here
