"""``tt``: tensor trains, of Linears as TT-matrices (`tt_matrix`), of convolution kernels (`tt_kernel`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from ..calibration.moments import Moments, Statistic
from ..model.layer import Layer
from ..plan import Rank
from .kind import Cost, Decomposition, Factorization
from .tt_kernel import KERNEL, TTKernel
from .tt_matrix import MATRIX, TTMatrix


@final
class TensorTrain(Factorization):
    """One rank for a Linear, three for a convolution."""

    name = "tt"

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return whether a TT-matrix or a kernel's train applies."""
        return _of(layer).applies(layer)

    def full_rank(self, layer: Layer) -> Rank:
        """Return the ranks of the unfoldings."""
        return _of(layer).full_rank(layer)

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return what all cores cost."""
        return _of(layer).cost(layer, rank)

    def width(self, layer: Layer, rank: Rank) -> int:
        """Return a TT-matrix's or a kernel's."""
        return _of(layer).width(layer, rank)

    def skeleton(self, layer: Layer, rank: Rank) -> nn.Module:
        """Return the cores, on the meta device."""
        return _of(layer).skeleton(layer, rank)

    def blocks(self, layer: Layer) -> int:
        """Return that of a TT-matrix; the outer modes of a kernel's train are found anew for every pair of ranks."""
        return MATRIX.blocks(layer) if isinstance(layer.module, nn.Linear) else 0

    def wants(self, layer: Layer) -> Statistic | None:
        """Return ``inputs``, where they are not too wide."""
        return _of(layer).wants(layer)

    def decompose(self, layer: Layer, moments: Moments | None) -> Decomposition:
        """Cut the train at several ranks."""
        return _of(layer).decompose(layer, moments)

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> Decomposition:
        """Rebuild from the cached cores."""
        return _of(layer).restore(layer, tensors)


def _of(layer: Layer) -> TTMatrix | TTKernel:
    return MATRIX if isinstance(layer.module, nn.Linear) else KERNEL


KIND = TensorTrain()
