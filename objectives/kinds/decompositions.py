"""The decompositions of every layer by every kind that applies: the layer's options, their errors and modules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..calibration.gradients import LARGEST
from ..calibration.importance import importance_of
from ..calibration.moments import Moments, Statistic
from ..calibration.response import Response
from ..model.layer import Layer
from ..model.replace import replaced
from ..plan import DENSE, Choice, Plan
from ..progress import CountCallback
from .cache import DecompositionCache
from .error import rounded
from .factorize import factorize
from .kind import Decomposition, Kind
from .registry import kind_named

MEMORY = 2**30
"""Bytes of moments that are gathered in one pass; a single layer may take more."""

Wanted = Mapping[tuple[str, Statistic], tuple[Layer, Statistic]]
"""Layers and whose moments of each, by layer name and statistic."""


class Decompositions:
    """The layers of a model, by name, and the kinds that apply to each."""

    def __init__(self, layers: Mapping[str, Layer], kinds: Mapping[str, tuple[Kind, ...]]) -> None:
        self.layers = layers
        self.kinds = kinds
        self._known: dict[tuple[str, str], Decomposition] = {}
        self._importance: dict[str, float] = {}
        self.responses: Mapping[str, Response] = {}
        """By how much more errors of a layer change the outputs than its importance says, where that was measured."""

    def fill(
        self,
        cache: DecompositionCache,
        gather: Callable[[Wanted], dict[tuple[str, Statistic], Moments]],
        progress: CountCallback,
    ) -> None:
        """Decompose every layer by every kind; cached decompositions are read.

        Args:
            cache: decompositions are read from it, and new ones written to it.
            gather: returns the moments wanted; a layer without moments is decomposed by the error of its weight.
            progress: called with the number of decompositions done, and of all.
        """
        wanted = {(name, kind.base): self.layers[name] for name, kinds in self.kinds.items() for kind in kinds}
        missing: list[tuple[Layer, Kind]] = []
        for (name, base), layer in wanted.items():
            found = cache.load(layer, kind_named(base))
            if found is None:
                missing.append((layer, kind_named(base)))
            else:
                self._known[name, base], importance = found
                self._weigh(name, importance)
        done = 0
        for part in _within_memory(missing):
            statistics: list[tuple[Layer, Statistic | None]] = [(layer, kind.wants(layer)) for layer, kind in part]
            moments = gather({(layer.name, s): (layer, s) for layer, s in statistics if s is not None})
            before = ""
            for (layer, kind), (_, statistic) in zip(part, statistics, strict=True):
                progress(done, len(missing))
                if layer.name != before:  # what was known of a layer that is done takes much memory
                    for key in [key for key in moments if key[0] == before]:
                        del moments[key]
                    before = layer.name
                known = None if statistic is None else moments.get((layer.name, statistic))
                decomposition = kind.decompose(layer, known)
                importance = None if known is None or statistic is None else importance_of(layer, statistic, known)
                self._known[layer.name, kind.name] = cache.store(layer, kind, decomposition, importance)
                self._weigh(layer.name, importance)
                done += 1
        if missing:
            progress(done, len(missing))

    @property
    def smallest(self) -> dict[str, list[Choice]]:
        """Every layer's options of least cost, ``dense`` last; known before anything is decomposed."""
        return {
            name: [*(Choice(kind.name, kind.smallest(self.layers[name])) for kind in kinds), DENSE]
            for name, kinds in self.kinds.items()
        }

    @cached_property
    def options(self) -> dict[str, tuple[Choice, ...]]:
        """Every layer's options, kind by kind, ``dense`` last; layers with no other are not in it."""
        return {
            name: (*found, DENSE)
            for name, kinds in self.kinds.items()
            if (
                found := [
                    Choice(kind.name, rank)
                    for kind in kinds
                    for rank in kind.ranks(self.layers[name], self._known[name, kind.base])
                ]
            )
        }

    def leave_out(self, kinds: Collection[str]) -> None:
        """Propose these kinds of identity blocks for no layer that the kind without the block is an option of."""
        self.kinds = {
            name: tuple(kind for kind in some if kind.name not in kinds or kind.base not in {k.name for k in some})
            for name, some in self.kinds.items()
        }
        vars(self).pop("options", None)

    def error(self, layer: Layer, choice: Choice) -> float:
        """Return the relative error of the layer's output under that choice, before fine-tuning."""
        if choice.rank is None:
            return 0.0
        kind = kind_named(choice.kind)
        return self._known[layer.name, kind.base].error(kind.inner(choice.rank))

    def of_kind(self, kind: Kind) -> dict[str, Decomposition]:
        """Return the decompositions by one kind, by layer name."""
        return {name: found for (name, base), found in self._known.items() if base == kind.name}

    def _weigh(self, name: str, importance: float | None) -> None:
        if importance is not None:
            self._importance.setdefault(name, importance)

    @cached_property
    def importance(self) -> dict[str, float]:
        """What a relative error of each layer's output costs the network's output, as a multiple of the layers' mean.

        A layer of which it is not known has the mean. It is rounded as errors are, and never 0.
        """
        mean = self.mean_importance
        return {name: rounded(self._importance.get(name, mean) / mean) if mean else 1.0 for name in self.options}

    @property
    def mean_importance(self) -> float:
        """The expected squared change of the network's outputs that `importance` 1 stands for; 0 if not known."""
        return fmean(self._importance.values()) if self._importance else 0.0

    def importance_at(self, name: str, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what relative errors of a layer's output, of any shape, cost the network's, as multiples of them."""
        response = self.responses.get(name)
        return self.importance[name] * (np.ones_like(errors) if response is None else response.factor(errors))

    def factors(self, layer: Layer, choice: Choice) -> nn.Module:
        """Return the layer's plain factors, as its kind's base has them."""
        kind = kind_named(choice.kind)
        assert choice.rank is not None
        return self._known[layer.name, kind.base].factors(kind.inner(choice.rank))

    def module(self, layer: Layer, choice: Choice) -> nn.Module:
        """Return the factorized layer as a network without any training has it; a singular one raises LinAlgError."""
        assert choice.rank is not None
        return kind_named(choice.kind).condense(layer, choice.rank, self.factors(layer, choice))

    def in_place(self, model: nn.Module, plan: Plan) -> nn.Module:
        """Return a copy of the dense ``model`` with every layer's plain factors."""
        return factorize(model, self.layers, plan, self.factors)

    def condensed(self, model: nn.Module, plan: Plan) -> nn.Module:
        """Return a copy of a ``model`` of plain factors with every kind's own modules in their place.

        Raises:
            numpy.linalg.LinAlgError: an identity block of these factors is singular.
        """
        instead: dict[str, nn.Module] = {}
        for name, choice in plan.items():
            if choice.rank is not None:
                factors = model.get_submodule(name)
                condensed = kind_named(choice.kind).condense(self.layers[name], choice.rank, factors)
                if condensed is not factors:
                    instead[name] = condensed
        return replaced(model, instead, originals={name: self.layers[name].module for name in instead})


def _within_memory(missing: Sequence[tuple[Layer, Kind]]) -> Iterator[list[tuple[Layer, Kind]]]:
    """Split into parts whose moments fit into `MEMORY`, a layer's kinds together."""
    part: list[tuple[Layer, Kind]] = []
    size, of = 0, ""
    for layer, kind in missing:
        if layer.name != of:
            of = layer.name
            wanted = {other.wants(layer) for one, other in missing if one is layer}
            widths = {"inputs": layer.in_features, "outputs": layer.out_features, "gradients": layer.in_features}
            more = sum(8 * widths[statistic] ** 2 for statistic in wanted if statistic is not None)
            more += 8 * layer.groups * min(layer.out_features // layer.groups, LARGEST) ** 2
            if part and size + more > MEMORY:
                yield part
                part, size = [], 0
            size += more
        part.append((layer, kind))
    if part:
        yield part
