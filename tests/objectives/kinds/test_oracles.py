"""Tensorly as the oracle of Tucker and of tensor trains: the same subspaces, no worse an error."""

from __future__ import annotations

import numpy as np
import pytest
import tensorly
import torch
from tensorly.decomposition import partial_tucker, tensor_train, tensor_train_matrix
from torch import Tensor, nn

from rankfront.objectives.kinds import tt_kernel, tt_matrix, tucker2
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import Layer


def convolution() -> Layer:
    """A kernel of falling spectrum in every mode, as trained ones have."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(10, 12, 3, bias=False))
    scale = torch.linspace(1, 0.1, 12)[:, None, None, None] * torch.linspace(1, 0.1, 10)[None, :, None, None]
    with torch.no_grad():
        model[0].weight.mul_(scale)
    (layer,) = find_layers(model, torch.zeros(1, 10, 5, 5))
    return layer


def kernel_of(module: nn.Module, layer: Layer) -> Tensor:
    """The kernel that a chain of convolutions applies, seen by feeding it every unit patch."""
    patches = torch.eye(layer.in_features).view(-1, 10, 3, 3)
    return module(patches)[:, :, 0, 0].T.view(12, 10, 3, 3)


@torch.no_grad()
def test_tucker2_errs_as_little_as_tensorlys() -> None:
    layer = convolution()
    weight = layer.module.weight.detach()
    decomposition = tucker2.KIND.decompose(layer, None)
    for rank in decomposition.ranks():
        assert isinstance(rank, tuple)
        (core, factors), _ = partial_tucker(weight.numpy(), rank=[rank[1], rank[0]], modes=[0, 1], n_iter_max=200)
        theirs = tensorly.tenalg.multi_mode_dot(core, factors, modes=[0, 1])
        expected = float(np.square(weight.numpy() - theirs).sum() / weight.square().sum())
        ours = kernel_of(decomposition.factors(rank), layer)
        assert float((weight - ours).square().sum() / weight.square().sum()) == pytest.approx(
            decomposition.error(rank), abs=1e-5
        )
        assert decomposition.error(rank) <= 1.02 * expected + 1e-6


@torch.no_grad()
def test_a_kernels_train_errs_as_little_as_tensorlys() -> None:
    layer = convolution()
    weight = layer.module.weight.detach().permute(1, 2, 3, 0).numpy()  # (in, kh, kw, out)
    decomposition = tt_kernel.KERNEL.decompose(layer, None)
    for rank in decomposition.ranks():
        assert isinstance(rank, tuple)
        theirs = tensor_train(weight, rank=[1, *rank, 1]).to_tensor()
        expected = float(np.square(weight - theirs).sum() / np.square(weight).sum())
        assert decomposition.error(rank) <= 1.05 * expected + 1e-6


@pytest.mark.parametrize("rank", [1, 5, 11])
@torch.no_grad()
def test_the_tt_matrix_is_tensorlys(rank: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 20))
    (layer,) = find_layers(model, torch.zeros(1, 24))
    m1, m2, n1, n2 = tt_matrix.modes(layer)
    assert (m1, m2, n1, n2) == (4, 5, 4, 6)
    weight = layer.module.weight.detach()
    theirs = tensor_train_matrix(weight.view(m1, m2, n1, n2).numpy(), rank=[1, rank, 1]).to_matrix()
    ours = tt_matrix.MATRIX.decompose(layer, None).factors(rank)
    found = (ours(torch.eye(24)) - model[0].bias).T
    torch.testing.assert_close(found, torch.as_tensor(theirs), rtol=1e-3, atol=1e-4)
