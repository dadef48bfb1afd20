"""``stored``: a parameter is stored as a product of two factors, ``rank · (rows + columns)`` numbers a matrix.

For weights that are multiplied in a way no module shows: by a functional call, in an LSTM, as experts that lie in one
parameter. The factors are put where the parameter is read (see `model.stored`), so parameters and bytes fall, but flops
do not: the product is computed at every read, and that is counted. A parameter that holds several matrices has a
factorization for each, all of the same rank, computed as one batch.

The factors are ``L⁻¹ U_r`` and ``U_rᵀ L W``, ``U`` the principal components of ``L W`` in the metrics that the
parameter's gradients give (see `weight_moments`); without these, the truncated SVD: the least error of the weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from ..calibration.moments import Moments, Statistic
from ..calibration.output_metric import PLAIN
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

    def blocks(self, layer: Layer) -> int:
        """Return 1."""
        return 1

    def wants(self, layer: Layer) -> Statistic:
        """Return ``gradients``: no module shows what passes."""
        return "gradients"

    def decompose(self, layer: Layer, moments: Moments | None) -> StoredDecomposition:
        """Find the principal components of each matrix."""
        metric = PLAIN if moments is None else moments.metric
        weight = metric.weigh(layer.grouped_weight)
        found = principal(weight, inputs=None if moments is None else moments.covariance)
        first, last = found.components.mT @ weight, metric.unweigh(found.components)
        kept = torch.promote_types(layer.module.weight.dtype, torch.float32)
        return StoredDecomposition(layer, first.to(kept), last.to(kept), found.energy)

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> StoredDecomposition:
        """Rebuild from the cached components."""
        device = layer.module.weight.device
        return StoredDecomposition(layer, *(tensors[key].to(device) for key in ("first", "components", "energy")))


def _stored(layer: Layer) -> StoredLayer:
    assert isinstance(layer, StoredLayer)
    return layer


@final
class StoredDecomposition(PrincipalDecomposition):
    """Both factors of each matrix at every rank, ``first (stack, k, columns)``; energies in the parameter's metric."""

    def __init__(self, layer: Layer, first: Tensor, components: Tensor, energy: Tensor) -> None:
        super().__init__(layer, components, energy)
        self.first = first

    @torch.no_grad()
    def factors(self, rank: Rank) -> Stored:
        """Return ``(L⁻¹ U_r) (U_rᵀ L W)``."""
        r = as_int(rank)
        stored = KIND.skeleton(self.layer, rank).to_empty(device=self.layer.module.weight.device)
        for name, factor in (("original0", self.components[:, :, :r]), ("original1", self.first[:, :r])):
            parameter = stored.get_parameter(name)
            parameter.copy_(factor.reshape(parameter.shape))
        return stored

    def tensors(self) -> dict[str, Tensor]:
        """Return what the cache keeps."""
        return {"first": self.first, "components": self.components, "energy": self.energy}


KIND = StoredFactors()
