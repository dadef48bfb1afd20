"""How many of the weights that a network multiplies by can be factorized: by modules, stored, or not, and why."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from ..model.finding import Layers
from ..model.stored_layer import StoredLayer
from .why_dense import owners_of, why_dense


class Coverage(NamedTuple):
    """The multiplying weights of a network, counted in parameters."""

    modules: int
    """Of Linears and convolutions that are layers."""
    stored: int
    """Of parameters that kind ``stored`` takes."""
    left: dict[str, tuple[int, str]]
    """Name of a parameter that stays dense → its size, and why."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.modules + self.stored + sum(size for size, _ in self.left.values())

    @property
    def share(self) -> float:
        """The part of them that a layer holds, from 0 to 1."""
        return (self.modules + self.stored) / max(1, self.total)


def coverage(model: nn.Module, layers: Layers) -> Coverage:
    """Count the weights that enter multiplications in eval mode, given a dense model and the layers found in it."""
    by_module, by_storing = (
        {
            id(parameter)
            for layer in layers
            if isinstance(layer, StoredLayer) == stored
            for path in layer.paths
            for parameter in model.get_submodule(path).parameters()
        }
        for stored in (False, True)
    )
    owners = owners_of(model)
    modules = stored = 0
    left: dict[str, tuple[int, str]] = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or name not in layers.uses:
            continue
        if id(parameter) in by_module:
            modules += parameter.numel()
        elif id(parameter) in by_storing:
            stored += parameter.numel()
        else:
            what, reason = why_dense(model, name, owners[id(parameter)], layers.left_dense)
            left[name] = parameter.numel(), f"{what}: {reason}"
    return Coverage(modules, stored, left)
