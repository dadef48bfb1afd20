"""What a kind of factorization is, and what a layer's decomposition offers.

``svd`` decomposes a weight once by its outputs' principal components; every rank is then a slice.
Other kinds (``spatial``, ``tucker2``, ``tt``) differ in the rows they observe, in the matrix they
decompose and in the modules they emit; nothing else of the library knows which kind it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from .layer import Layer


class Cost(NamedTuple):
    """What one choice for one layer costs: parameters, and operations for one input (2 per multiply-add)."""

    params: int
    flops: int


class Decomposition(Protocol):
    """One layer, decomposed once: every rank is a slice."""

    def error(self, rank: int) -> float:
        """Return the relative squared error of the layer's output at ``rank``, 0 at full rank."""
        ...

    def module(self, rank: int) -> nn.Module:
        """Return the factorized layer at ``rank``, of plain modules, in the layer's own dtype."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return all that `Kind.restore` needs, to be cached on disk."""
        ...


class Moments(NamedTuple):
    """First and second moment of observed rows: ``samples``, ``mean`` (d,), ``second`` (d, d), float64."""

    samples: int
    mean: Tensor
    second: Tensor


class Kind(Protocol):
    """A way to factorize a layer."""

    @property
    def name(self) -> str:
        """The kind's name in plans, options and plots."""
        ...

    def ranks(self, layer: Layer) -> Sequence[int]:
        """Return the ranks worth proposing, ascending: those that save parameters; empty if none does."""
        ...

    def full_rank(self, layer: Layer) -> int:
        """Return the least rank at which every layer of this shape is reproduced."""
        ...

    def cost(self, layer: Layer, rank: int) -> Cost:
        """Return what the factorized layer costs; equals what is counted on `skeleton`."""
        ...

    def skeleton(self, layer: Layer, rank: int) -> nn.Module:
        """Return the factorized layer's modules on the meta device, in the layer's dtype."""
        ...

    def observe(self, layer: Layer, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Return the rows ``(n, d)`` of one call of the layer whose moments `decompose` is to get."""
        ...

    def decompose(self, layer: Layer, moments: Moments | None) -> Decomposition:
        """Decompose by the error of the output (with moments) or of the weight (without)."""
        ...

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> Decomposition:
        """Rebuild a decomposition from its `Decomposition.tensors`; raises ``KeyError`` if one is missing."""
        ...
