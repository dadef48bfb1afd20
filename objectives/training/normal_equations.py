"""Least squares from sums over batches: no batch needs to be kept, nor to be of the size of the others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..model.layer import Linear

RIDGE = 1e-4
"""``λ`` relative to the mean squared input. It keeps the equations solvable where there are fewer rows than inputs."""


class NormalEquations:
    """The equations of a layer's weight and bias, group by group; sums in float64.

    With rows ``z`` (a one appended for the bias), wanted outputs ``y`` and the present solution ``W₀``,

        W = W₀ + (Σ y zᵀ − W₀ Σ z zᵀ) (Σ z zᵀ + λ)⁻¹,    λ = `RIDGE` · mean diag(Σ z zᵀ);

    the first sum is added up as ``(y − W₀ z) zᵀ``, which keeps its digits where the residual is small.
    """

    def __init__(self, layer: Linear) -> None:
        self.layer = layer
        self.groups: int = getattr(layer, "groups", 1)
        weights = layer.weight.double().reshape(self.groups, -1, layer.weight[0].numel())
        if layer.bias is not None:
            weights = torch.cat([weights, layer.bias.double().reshape(self.groups, -1, 1)], 2)
        self._present = weights  # (groups, out/groups, in + 1)
        size = weights.shape[2]
        self._gram = weights.new_zeros(self.groups, size, size)
        self._cross = weights.new_zeros(self.groups, size, weights.shape[1])
        self._rows = 0

    def add(self, rows: Tensor, wanted: Tensor) -> None:
        """Take more rows ``(n, groups · in)``, and the outputs wanted for them ``(n, out)``."""
        self._rows += len(rows)
        parts = zip(rows.chunk(self.groups, 1), wanted.chunk(self.groups, 1), strict=True)
        for group, (seen, aim) in enumerate(parts):
            seen = seen.double()
            if self.layer.bias is not None:
                seen = functional.pad(seen, (0, 1), value=1.0)
            self._gram[group] += seen.T @ seen
            self._cross[group] += seen.T @ (aim.double() - seen @ self._present[group].T)

    def solve(self) -> None:
        """Replace the layer's weight and bias by the solution; nothing changes where no rows were taken."""
        if not self._rows:
            return
        diagonal = self._gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(torch.finfo(torch.float32).tiny)
        eye = torch.eye(self._gram.shape[1], dtype=self._gram.dtype, device=self._gram.device)
        ridge = RIDGE * diagonal[:, None, None] * eye
        change = torch.linalg.solve(self._gram + ridge, self._cross)
        solved = self._present + change.transpose(1, 2)
        bias = self.layer.bias
        if bias is not None:
            bias.copy_(solved[:, :, -1].reshape(bias.shape))
            solved = solved[:, :, :-1]
        self.layer.weight.copy_(solved.reshape(self.layer.weight.shape))
