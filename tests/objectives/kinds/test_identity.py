"""Identity blocks: the same function as the factors they are made of, of bounded coefficients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rankfront.objectives.kinds import spatial, spatial_identity, svd, svd_identity
from rankfront.objectives.kinds.centre_block import GROWTH, centre_block
from rankfront.objectives.kinds.identity import BOUND, well_conditioned_rows
from rankfront.objectives.model.finding import find_layers


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6))
def test_coefficients_are_bounded_whatever_the_matrix(out: int, rank: int, seed: int) -> None:
    rank = min(rank, out)
    generator = torch.Generator().manual_seed(seed)
    tall = torch.randn(out, rank, generator=generator, dtype=torch.float64) * 10 ** (
        4 * torch.rand(out, 1, generator=generator, dtype=torch.float64)
    )
    rows = well_conditioned_rows(tall)
    assert len(set(rows.tolist())) == rank
    coefficients = torch.linalg.solve(tall[rows].T, tall.T).T
    assert float(coefficients.abs().max()) <= BOUND + 1e-6


@pytest.mark.parametrize("rank", [1, 4, 7, 8, 11, 15, 24])
@torch.no_grad()
def test_a_centre_block_is_the_same_function_and_sound(rank: int) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(8, 8, 3, stride=(2, 2), padding=1))
    (layer,) = find_layers(model, torch.zeros(1, 8, 7, 9))
    factors = spatial.KIND.decompose(layer, None).factors(rank)
    size, _, _, inverse = centre_block(factors[1].weight[:, :, 0].double())
    taps = torch.einsum("ort,rs->ost", factors[1].weight[:, :, 0].double(), inverse)
    assert float(taps.abs().max()) <= GROWTH or size == 1
    x = torch.randn(3, 8, 7, 9)
    for k in {1, size}:
        block = spatial_identity.KIND.condense(layer, (rank, k), factors)
        torch.testing.assert_close(block(x), factors(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("build", [lambda: nn.Linear(9, 7), lambda: nn.Conv2d(6, 8, 3, groups=2)])
@torch.no_grad()
def test_it_is_taken_of_whatever_the_factors_have_become(build: type) -> None:
    """After a refit the factors are no longer orthonormal."""
    torch.manual_seed(2)
    model = nn.Sequential(build())
    x = torch.randn(5, 9) if isinstance(model[0], nn.Linear) else torch.randn(5, 6, 5, 5)
    (layer,) = find_layers(model, x[:1])
    factors = svd.KIND.decompose(layer, None).factors(2)
    for parameter in factors.parameters():
        parameter.add_(torch.randn_like(parameter))
    block = svd_identity.KIND.condense(layer, 2, factors)
    torch.testing.assert_close(block(x), factors(x), rtol=1e-3, atol=1e-4)
    assert sum(p.numel() for p in block.parameters()) == svd_identity.KIND.cost(layer, 2).params
