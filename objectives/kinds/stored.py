"""``stored``: a parameter is stored as a product of two factors, ``rank · (rows + columns)`` numbers a matrix.

For weights that are multiplied in a way no module shows: by a functional call, in an LSTM, as experts that lie in one
parameter. The factors are put where the parameter is read (see `model.stored`), so parameters and bytes fall, but flops
do not: the product is computed at every read, and that is counted. A parameter that holds several matrices has a
factorization for each, all of the same rank, computed as one batch.

The factors are the truncated SVD: the least error of the weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from ..calibration.moments import Moments
from ..model.layer import Layer
from ..model.stored import Product, Stored
from ..model.stored_layer import StoredLayer
from ..plan import Rank, as_int
from .kind import Cost, Factorization
from .principal import principal
from .principal_decomposition import PrincipalDecomposition


@final
class StoredFactors(Factorization):
    """A product of factors in the place of a parameter: ``(rows, columns) → (rows, rank), (rank, columns)``."""

    name = "stored"

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return whether the layer is a parameter that no module multiplies: else a module's own kinds are cheaper."""
        return (True, "") if isinstance(layer, StoredLayer) else (False, "it is a module, which is replaced as a whole")

    def full_rank(self, layer: Layer) -> int:
        """Return ``min(rows, columns)``."""
        _, rows, columns = _stored(layer).matrices.size
        return min(rows, columns)

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return ``stack · rank · (rows + columns)`` parameters; the flops are the product's, at every read."""
        of = _stored(layer)
        stack, rows, columns = of.matrices.size
        params = stack * as_int(rank) * (rows + columns)
        return Cost(params, of.reads * 2 * stack * rows * as_int(rank) * columns)

    def skeleton(self, layer: Layer, rank: Rank) -> Stored:
        """Return the module that holds the factors, on the meta device."""
        of = _stored(layer)
        like = torch.empty(of.matrices.shape, device="meta", dtype=layer.module.weight.dtype)
        return Stored(Product(of.matrices, as_int(rank)), nn.Parameter(like))

    def wants(self, layer: Layer) -> None:
        """Return None: the error is the weight's."""

    def decompose(self, layer: Layer, moments: Moments | None) -> StoredDecomposition:
        """Find the principal components of each matrix."""
        found = principal(layer.grouped_weight)
        return StoredDecomposition(layer, found.components, found.energy)

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> StoredDecomposition:
        """Rebuild from the cached components."""
        device = layer.module.weight.device
        return StoredDecomposition(layer, *(tensors[key].to(device) for key in ("components", "energy")))


def _stored(layer: Layer) -> StoredLayer:
    assert isinstance(layer, StoredLayer)
    return layer


@final
class StoredDecomposition(PrincipalDecomposition):
    """Principal components of each matrix; their energy is that of the weights."""

    @torch.no_grad()
    def factors(self, rank: Rank) -> Stored:
        """Return ``U_r (U_rᵀ W)``."""
        basis = self.components[:, :, : as_int(rank)]
        stored = KIND.skeleton(self.layer, rank).to_empty(device=self.layer.module.weight.device)
        for name, factor in (("original0", basis), ("original1", basis.mT @ self.layer.grouped_weight)):
            parameter = stored.get_parameter(name)
            parameter.copy_(factor.reshape(parameter.shape))
        return stored

    def tensors(self) -> dict[str, Tensor]:
        """Return what the cache keeps."""
        return {"components": self.components, "energy": self.energy}


KIND = StoredFactors()
