"""A parameter that is multiplied in no module becomes one that its module reads from a `Stored`, as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from ...data.structure import Inputs
from ...errors import RankfrontError
from ..copying import copied
from ..finding import find_layers
from ..multiplications import Use, matrices_of, owner_of
from ..stored import Matrices, store
from .form import Found


@final
class Storing:
    """Parameters that are read from a `Stored`, in which kind ``stored`` puts factors."""

    name = "stored"
    option = "stored"

    def find(self, model: nn.Module, samples: Sequence[Inputs]) -> Found:
        """Find the parameters that are multiplied, and that no module's own kinds can take."""
        try:
            layers = find_layers(model, samples[0], (), samples[1:])
        except RankfrontError:  # said again when the layers are looked for
            return Found({}, {})
        taken = {id(layer.module.weight) for layer in layers}
        owners = Counter(id(p) for m in model.modules() for p in m._parameters.values() if p is not None)
        found = Found({}, {})
        for name, uses in layers.uses.items():
            owner, own = owner_of(model, name)
            parameter = owner.get_parameter(own)
            if id(parameter) in taken and all(use.own for use in uses):
                continue  # a layer, and nothing but its module's own forward multiplies by its weight
            matrices = _matrices(parameter, uses)
            possible, reason = _can_store(owner, parameter, matrices, owners[id(parameter)])
            path = name.rpartition(".")[0]
            if possible and matrices is not None:
                parameters = found.rewrites.setdefault(path, {"parameters": {}})["parameters"]
                parameters[own] = {"rows": matrices.rows, "columns": matrices.columns}
            elif reason:
                found.reasons[path] = reason
        return found

    def rewritten(self, model: nn.Module, rewrites: Mapping[str, Mapping[str, Any]]) -> nn.Module:
        """Return a copy of ``model`` in which these parameters are read from a `Stored`."""
        found = copied(model)
        for path, rewrite in rewrites.items():
            owner = found.get_submodule(path)
            for own, dims in rewrite["parameters"].items():
                shape = tuple(owner.get_parameter(own).shape)
                store(owner, own, Matrices(shape, int(dims["rows"]), int(dims["columns"])))
        return found

    def inside(self, rewrite: Mapping[str, Any]) -> tuple[str, ...]:
        """Return nothing: a `StoredLayer` knows the module's name and the parameter's."""
        return ()

    def offer(self, rewrite: Mapping[str, Any]) -> str:
        """Return what the user can do."""
        return "its weights are multiplied in no module of their own; kind stored would take them"


def _matrices(parameter: nn.Parameter, uses: Sequence[Use]) -> Matrices | None:
    """Return how a parameter is a stack of matrices, by its first multiplication as one; None if there is none."""
    use = next((use for use in uses if len(use.shape) > 1), None)
    if use is None or parameter.ndim < 2:
        return None
    shape = tuple(parameter.shape)
    return Matrices(shape, *matrices_of(shape, use.shape, use.function))


def _can_store(owner: nn.Module, parameter: nn.Parameter, matrices: Matrices | None, owners: int) -> tuple[bool, str]:
    """Return whether a parameter that is multiplied can be stored as factors, and why not; "" where it is none."""
    if matrices is None:
        return False, ""  # a vector, such as a bias
    _, rows, columns = matrices.size
    if rows + columns >= rows * columns:
        return False, f"its matrices of {rows}×{columns} are too small to store fewer numbers"
    if owners > 1:
        return False, "its parameters are shared with another module"
    if type(parameter) is not nn.Parameter or not parameter.is_floating_point():
        return False, f"its parameter is a {type(parameter).__name__} of {parameter.dtype}"
    if parametrize.is_parametrized(owner):
        return False, "its module has parametrizations already"
    if isinstance(owner, _ConvNd) and owner.groups > 1 and owner.groups == owner.in_channels:
        return False, "a depthwise convolution"
    if isinstance(owner, (torch.jit.ScriptModule, nn.Embedding)):
        return False, f"its module is a {type(owner).__name__}"
    return True, ""


FORM = Storing()
