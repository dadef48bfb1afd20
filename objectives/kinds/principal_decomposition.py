"""What decompositions by principal components share: ranks and errors, whatever the factors are made into."""

from __future__ import annotations

from torch import Tensor

from ..model.layer import Layer
from ..plan import Rank, as_int
from .error import rounded_all


class PrincipalDecomposition:
    """The last factor of matrices ``(groups, out, in)`` at every rank, ``(groups, out, k)``; its energies."""

    def __init__(self, layer: Layer, components: Tensor, energy: Tensor) -> None:
        self.layer = layer
        self.components = components
        self.energy = energy
        tail = energy.sum(0).flip(0).cumsum(0).flip(0)
        total = float(tail[0]) or 1.0
        self._errors = rounded_all([*(tail / total).tolist(), 0.0])

    def ranks(self) -> range:
        """Return all ranks that save parameters: of each matrix a rank takes a column and a row."""
        groups, out, _ = self.components.shape
        weights = self.layer.weights
        return range(1, (weights - 1) // (groups * out + weights // out) + 1)

    def error(self, rank: Rank) -> float:
        """Return the share of the energy outside the first ``rank`` components."""
        return self._errors[min(as_int(rank), len(self._errors) - 1)]
