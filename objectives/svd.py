"""``svd``: one linear map becomes two, through ``rank`` channels.

A Linear becomes Linear(in → rank), Linear(rank → out); a Conv2d becomes the same k×k convolution to
``rank`` channels, then a 1×1 convolution (Zhang et al., TPAMI 2016).

Whitening without a matrix root. The rank-r factors with the least error in the layer's *output* are
the truncated SVD of ``W C^½`` with ``C = E[a aᵀ]`` of the unfolded input, ``C^-½`` folded back. With
``W C^½ = U S Vᵀ`` that product is ``U_r U_rᵀ W``: a projection, and ``U`` are the eigenvectors of
``W C Wᵀ = E[y yᵀ]``, the second moment of the layer's outputs ``y = W a``. So the outputs' principal
components are all that is needed: no unfolding, no root, no inverse, no ridge, and full rank reproduces
the layer exactly. With ``C = I`` (``W Wᵀ``) it is the plain SVD.

Where the layer has a bias, the outputs are centred first and ``(I − U_r U_rᵀ) E[y]`` joins the bias: the
least error over the second factor and the bias together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from .kind import Cost, Moments
from .layer import Layer


@final
class Svd:
    """Two linear maps through ``rank`` channels: ``(in, out) → (in, rank), (rank, out)``."""

    name = "svd"

    def ranks(self, layer: Layer) -> range:
        """Return all ranks with ``rank · (in + out) < in · out``."""
        m, n = layer.out_features, layer.in_features
        return range(1, (m * n - 1) // (m + n) + 1)

    def full_rank(self, layer: Layer) -> int:
        """Return ``min(in, out)``."""
        return min(layer.out_features, layer.in_features)

    def cost(self, layer: Layer, rank: int) -> Cost:
        """Return ``rank · (in + out)`` parameters plus the bias, and 2 flops per weight and position."""
        weights = rank * (layer.in_features + layer.out_features)
        return Cost(weights + layer.bias_params, 2 * layer.positions * weights)

    def skeleton(self, layer: Layer, rank: int) -> nn.Sequential:
        """Return the two modules, on the meta device."""
        m = layer.module
        like = {"device": "meta", "dtype": m.weight.dtype}
        bias = m.bias is not None
        if isinstance(m, nn.Linear):
            return nn.Sequential(
                nn.Linear(m.in_features, rank, bias=False, **like),
                nn.Linear(rank, m.out_features, bias=bias, **like),
            )
        size, stride, dilation = ((a[0], a[1]) for a in (m.kernel_size, m.stride, m.dilation))
        padding = m.padding if isinstance(m.padding, str) else (m.padding[0], m.padding[1])
        first = nn.Conv2d(m.in_channels, rank, size, stride, padding, dilation, 1, False, m.padding_mode, **like)
        return nn.Sequential(first, nn.Conv2d(rank, m.out_channels, 1, bias=bias, **like))

    def observe(self, layer: Layer, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Return the outputs without the bias, one row ``(out,)`` per position; of a tall Linear the inputs."""
        if self._by_inputs(layer):
            return inputs.reshape(-1, layer.in_features)
        rows = outputs if isinstance(layer.module, nn.Linear) else outputs.movedim(-3, -1)
        rows = rows.reshape(-1, layer.out_features)
        return rows if layer.module.bias is None else rows - layer.module.bias

    def _by_inputs(self, layer: Layer) -> bool:
        """Whether ``E[x xᵀ]`` is gathered in place of the larger ``E[y yᵀ]``: one is ``W · Wᵀ`` of the other."""
        return isinstance(layer.module, nn.Linear) and layer.out_features > layer.in_features

    def decompose(self, layer: Layer, moments: Moments | None) -> SvdDecomposition:
        """Find the principal components of the outputs, by the moments or (plain) of the weight alone."""
        weight = layer.module.weight.detach().flatten(1).double()
        out, inner = weight.shape
        # Where the weight is tall, its outputs fill only its column space: work there, in (in × in).
        basis, core = torch.linalg.qr(weight) if out > inner else (None, weight)
        mean = weight.new_zeros(out)
        if moments is None:
            spread = core @ core.T
        else:
            centre = moments.mean if layer.module.bias is not None else torch.zeros_like(moments.mean)
            spread = moments.second - torch.outer(centre, centre)
            mean = weight @ centre if self._by_inputs(layer) else centre
            if self._by_inputs(layer):
                spread = core @ spread @ core.T
            elif basis is not None:
                spread = basis.T @ spread @ basis
        values, vectors = torch.linalg.eigh(spread)
        vectors = vectors.flip(-1) if basis is None else basis @ vectors.flip(-1)
        return SvdDecomposition(layer, vectors, values.flip(-1).clamp_min(0), mean)

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> SvdDecomposition:
        """Rebuild from the cached components."""
        device = layer.module.weight.device
        return SvdDecomposition(layer, *(tensors[key].to(device) for key in ("components", "energy", "mean")))


@final
class SvdDecomposition:
    """Principal components ``U (out, k)`` of a layer's outputs, their energy ``(k,)``, the mean ``(out,)``."""

    def __init__(self, layer: Layer, components: Tensor, energy: Tensor, mean: Tensor) -> None:
        self.layer = layer
        self.components = components
        self.energy = energy
        self.mean = mean
        tail = energy.flip(0).cumsum(0).flip(0)
        total = float(tail[0]) or 1.0
        self._errors = [*(tail / total).tolist(), 0.0]

    def error(self, rank: int) -> float:
        """Return the share of the outputs' energy outside the first ``rank`` components."""
        return self._errors[min(rank, len(self._errors) - 1)]

    def module(self, rank: int) -> nn.Sequential:
        """Return ``y = U_r (U_rᵀ W) x + b + (I − U_r U_rᵀ) E[y]`` as two modules."""
        dense = self.layer.module
        module = KIND.skeleton(self.layer, rank).to_empty(device=dense.weight.device)
        basis = self.components[:, :rank]
        weight = dense.weight.detach().flatten(1).double()
        with torch.no_grad():
            for part, value in zip(module, (basis.T @ weight, basis), strict=True):
                assert isinstance(part.weight, Tensor)
                part.weight.copy_(value.view_as(part.weight))
            if dense.bias is not None:
                lost = self.mean - basis @ (basis.T @ self.mean)
                last = module[-1].bias
                assert isinstance(last, Tensor)
                last.copy_(dense.bias.double() + lost)
        return module

    def tensors(self) -> dict[str, Tensor]:
        """Return what the cache keeps."""
        return {"components": self.components, "energy": self.energy, "mean": self.mean}


KIND = Svd()
