"""The interfaces of a kind of factorization, and of a layer's decomposition.

Every kind decomposes a layer once; every rank is then a slice. Kinds differ in the matrix or tensor that they decompose
and in the modules that they return. The rest of the library uses these interfaces only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from ..calibration.moments import Moments, Statistic
from ..model.layer import Layer
from ..model.stored_layer import StoredLayer
from ..plan import Rank, as_tuple


class Cost(NamedTuple):
    """What one choice for one layer costs: parameters, and operations for one input (2 per multiply-add)."""

    params: int
    flops: float


class Decomposition(Protocol):
    """One layer, decomposed once: every rank is a slice."""

    def ranks(self) -> Sequence[Rank]:
        """Return the ranks worth proposing, ascending: those that save parameters; empty if none does."""
        ...

    def error(self, rank: Rank) -> float:
        """Return the relative squared error of the layer's output at ``rank``, 0 at full rank."""
        ...

    def factors(self, rank: Rank) -> nn.Module:
        """Return the factorized layer, of plain modules in the layer's own dtype.

        The last of its Linear or convolution modules is the last linear map, which `refit` may solve anew.
        """
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return all that `Kind.restore` needs, to be cached on disk."""
        ...


class Kind(Protocol):
    """A way to factorize a layer."""

    @property
    def name(self) -> str:
        """The kind's name in plans, options and plots."""
        ...

    @property
    def base(self) -> str:
        """The kind whose decomposition this one takes: its own name, or that of the kind it condenses."""
        ...

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return ``(True, "")`` where the kind can factorize this layer, else False and why not."""
        ...

    def smallest(self, layer: Layer) -> Rank:
        """Return the rank that costs least."""
        ...

    def full_rank(self, layer: Layer) -> Rank:
        """Return the least rank at which every layer of this shape is reproduced."""
        ...

    def accepts(self, layer: Layer, rank: Rank) -> tuple[bool, str]:
        """Return ``(True, "")`` where the layer can have this rank, else False and what a rank must be."""
        ...

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return what the factorized layer costs; equals what is counted on `skeleton`."""
        ...

    def width(self, layer: Layer, rank: Rank) -> int:
        """Return how many dimensions of one group pass the narrowest factor; at most the layer's own width."""
        ...

    def skeleton(self, layer: Layer, rank: Rank) -> nn.Module:
        """Return the factorized layer's modules on the meta device, in the layer's dtype."""
        ...

    def wants(self, layer: Layer) -> Statistic | None:
        """Return whose moments `decompose` is to get; None if it can use none."""
        ...

    def decompose(self, layer: Layer, moments: Moments | None) -> Decomposition:
        """Decompose by the error of the output (with moments) or of the weight (without)."""
        ...

    def ranks(self, layer: Layer, decomposition: Decomposition) -> Sequence[Rank]:
        """Return this kind's ranks worth proposing, given its base's decomposition."""
        ...

    def inner(self, rank: Rank) -> Rank:
        """Return the rank of the base's decomposition that this kind's ``rank`` is made of."""
        ...

    def blocks(self, layer: Layer) -> int:
        """Return into how many blocks the first factor's outputs are divided, each with channels of all ranks.

        The factors at a rank are then the first channels of each block of those at a larger one. 0 where they are not.
        """
        ...

    def condense(self, layer: Layer, rank: Rank, factors: nn.Module) -> nn.Module:
        """Turn the base's factors at ``inner(rank)`` into this kind's module: the same function, for less."""
        ...

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> Decomposition:
        """Rebuild a decomposition from its `Decomposition.tensors`; raises ``KeyError`` if one is missing."""
        ...


class Factorization(ABC):
    """A kind that is made of its own decomposition, as it comes: what such kinds have in common."""

    name: str

    @property
    def base(self) -> str:
        """Its own name."""
        return self.name

    @abstractmethod
    def full_rank(self, layer: Layer) -> Rank:
        """Return the least rank at which every layer of this shape is reproduced."""

    def smallest(self, layer: Layer) -> Rank:
        """Return ones."""
        full = self.full_rank(layer)
        return 1 if isinstance(full, int) else (1,) * len(full)

    def accepts(self, layer: Layer, rank: Rank) -> tuple[bool, str]:
        """Return whether every rank is from 1 to the full one."""
        full = self.full_rank(layer)
        if isinstance(full, int):
            accepted, rule = isinstance(rank, int) and 1 <= rank <= full, f"an integer from 1 to {full}"
        else:
            accepted = isinstance(rank, tuple) and len(rank) == len(full)
            accepted = accepted and all(1 <= r <= most for r, most in zip(as_tuple(rank), full, strict=True))
            rule = f"{len(full)} integers from {[1] * len(full)} to {list(full)}"
        return (True, "") if accepted else (False, rule)

    def width(self, layer: Layer, rank: Rank) -> int:
        """Return the least of the ranks: every factor but the last hands on as many channels."""
        return min(layer.width, rank if isinstance(rank, int) else min(rank))

    def ranks(self, layer: Layer, decomposition: Decomposition) -> Sequence[Rank]:
        """Return the decomposition's own."""
        return decomposition.ranks()

    def inner(self, rank: Rank) -> Rank:
        """Return ``rank``."""
        return rank

    def blocks(self, layer: Layer) -> int:
        """Return 0: no factors at one rank are part of those at another."""
        return 0

    def condense(self, layer: Layer, rank: Rank, factors: nn.Module) -> nn.Module:
        """Return the factors as they are."""
        return factors


def is_module(layer: Layer) -> tuple[bool, str]:
    """Return whether a layer is a module that others can replace; else it is a parameter, for kind ``stored`` alone."""
    return (False, "it is a parameter that no module multiplies") if isinstance(layer, StoredLayer) else (True, "")


class Costed(Protocol):
    """Whatever tells what a rank costs."""

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return what the factorized layer costs."""
        ...


def worthwhile(kind: Costed, layer: Layer, errors: Mapping[Rank, float]) -> list[Rank]:
    """Return the ranks that save parameters and have less error than every cheaper one, ascending in parameters.

    Of ranks with as many parameters the one of least error stays; of these the one of fewest flops.
    """
    kept: list[Rank] = []
    least = float("inf")
    costs = {rank: kind.cost(layer, rank) for rank in errors}
    for rank in sorted(errors, key=lambda rank: (costs[rank].params, errors[rank], costs[rank].flops)):
        if costs[rank].params < layer.params and errors[rank] < least:
            kept.append(rank)
            least = errors[rank]
    return kept
