"""The cores of large tables: as good as an SVD's, at ranks that are worth it, in little time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rankfront.objectives.calibration.moments import MomentSums
from rankfront.objectives.calibration.output_metric import PLAIN
from rankfront.objectives.kinds import tt_cores, tt_matrix
from rankfront.objectives.kinds.tt_cores import cores_of, output_errors, weight_errors
from rankfront.objectives.model.layer import Layer


def table_of(rows: int, columns: int, decay: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    left, values, right = torch.linalg.svd(drawn, full_matrices=False)
    return (left * decay ** torch.arange(len(values)) * values) @ right


@settings(max_examples=40)
@given(rows=st.integers(1, 24), columns=st.integers(1, 24), decay=st.floats(0.3, 1.0), rank=st.integers(1, 24))
def test_every_slice_is_the_best_approximation(rows: int, columns: int, decay: float, rank: int) -> None:
    table = table_of(rows, columns, decay)
    values = torch.linalg.svdvals(table)
    rank = min(rank, len(values))
    cores = cores_of(table)
    missing = table - cores.first[:, :rank] @ cores.last[:rank]
    expected = values[rank:].square().sum() / values.square().sum()
    assert float(missing.square().sum() / values.square().sum()) == pytest.approx(float(expected), abs=1e-12)
    assert float(weight_errors(table, cores, [rank])[0]) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (30, 30)])
def test_zeros_and_one_direction_have_cores(shape: tuple[int, int]) -> None:
    for table in (torch.zeros(shape), torch.ones(shape)):
        cores = cores_of(table.double())
        assert bool(torch.isfinite(cores.first).all() and torch.isfinite(cores.last).all())
        torch.testing.assert_close(cores.first @ cores.last, table.double())


def test_a_large_table_is_decomposed_by_projections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tt_cores, "EXACT_SIDE", 50)
    monkeypatch.setattr(tt_cores, "SKETCHED", 40)
    table = table_of(90, 130, 0.9)
    cores = cores_of(table)
    assert cores.first.shape == (90, 40) and cores.last.shape == (40, 130)
    values = torch.linalg.svdvals(table).square()
    for rank in (1, 5, 20):
        best = float(values[rank:].sum() / values.sum())
        assert best <= float(weight_errors(table, cores, [rank])[0]) + 1e-12 <= 1.02 * best + 1e-9
    assert torch.equal(cores_of(table).first, cores.first)


def test_errors_by_random_signs_are_near_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(64, 256)
    rows = torch.randn(500, 64) @ torch.randn(64, 64)
    sums = MomentSums()
    sums.add(rows)
    moments = sums.moments()
    known = Layer("fc", ("fc",), layer, ())
    exact = tt_matrix.MATRIX.decompose(known, moments)
    monkeypatch.setattr(tt_cores, "WORK", 0.0)
    estimated = tt_matrix.MATRIX.decompose(known, moments)
    for rank in exact.ranks():
        assert estimated.error(rank) == pytest.approx(exact.error(rank), rel=0.3)


def test_the_output_errors_add_up_over_ranks() -> None:
    """Each is that of its own product, though what is missing is reduced from rank to rank."""
    weight, second = torch.randn(12, 20).double(), torch.eye(20).double()
    cores = cores_of(weight)
    errors = output_errors(weight, second, cores, lambda first, last: first @ last, [1, 4, 9], PLAIN)
    torch.testing.assert_close(errors, weight_errors(weight, cores, [1, 4, 9]))
