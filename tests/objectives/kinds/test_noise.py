"""EVBMF finds the rank of a matrix that is one of low rank plus noise, and the noise's share."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rankfront.objectives.kinds.noise import evbmf_rank, noise_share
from rankfront.objectives.model.finding import find_layers


@given(st.integers(40, 80), st.integers(1, 4), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_finds_the_rank(rows: int, times: int, rank: int, seed: int) -> None:
    """Signals twice as large as the largest of the noise, which is known: sqrt(rows) + sqrt(columns)."""
    rng = np.random.default_rng(seed)
    columns = times * rows
    left = np.linalg.qr(rng.standard_normal((rows, rows)))[0][:, :rank]
    right = np.linalg.qr(rng.standard_normal((columns, rows)))[0][:, :rank]
    largest = np.sqrt(columns) + np.sqrt(rows)
    matrix = 2 * largest * left @ right.T + rng.standard_normal((rows, columns))
    squares = np.linalg.eigvalsh(matrix @ matrix.T)[::-1].clip(0)
    assert evbmf_rank(squares, times * rows) == rank


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-3, 1e6])
def test_is_indifferent_to_scale(scale: float) -> None:
    squares = np.sort(np.random.default_rng(0).exponential(1.0, 40) ** 3)[::-1]
    assert evbmf_rank(scale * squares, 90) == evbmf_rank(squares, 90) > 0


@pytest.mark.parametrize("shape", [(30, 50), (50, 30)])
def test_share_of_a_layers_weights(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    out, taken = shape
    signal, noise = torch.randn(out, 3) @ torch.randn(3, taken), 0.5 * torch.randn(out, taken)
    model = nn.Sequential(nn.Linear(taken, out))
    with torch.no_grad():
        model[0].weight.copy_(signal + noise)
    (layer,) = find_layers(model, torch.zeros(1, taken))
    share = float(noise.square().sum() / (signal + noise).square().sum())
    assert noise_share(layer) == pytest.approx(share, rel=0.2)  # the signal's directions hold noise, too
    with torch.no_grad():
        model[0].weight.zero_()
    assert noise_share(layer) == 0.0
