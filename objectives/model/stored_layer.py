"""A layer that is no module: a parameter of the dense model, held by a `Stored`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor

from .layer import Layer
from .stored import Matrices, Stored

PART = "parametrizations"
"""The name under which torch keeps what a module reads its parameters from."""


@dataclass(frozen=True)
class StoredLayer(Layer):
    """A stack of matrices in one parameter: in a layer's words the groups are the stack.

    It has no calls, positions or flops of its own: what multiplies by it costs the same whatever becomes of it. What
    its factors cost is their product, at each of its ``reads``.
    """

    reads: float = field(default=0, compare=False)
    """How often one input makes the model compute the parameter."""

    @property
    def stored(self) -> Stored:
        """The module that holds the parameter."""
        return cast(Stored, cast(object, self.module))

    @property
    def matrices(self) -> Matrices:
        """How the parameter is a stack of matrices."""
        return self.stored.matrices

    @property
    def out_features(self) -> int:
        """Number of rows of all matrices."""
        stack, rows, _ = self.matrices.size
        return stack * rows

    @property
    def in_features(self) -> int:
        """Number of columns of each matrix."""
        return self.matrices.size[2]

    @property
    def groups(self) -> int:
        """Number of matrices."""
        return self.matrices.size[0]

    @property
    def grouped_weight(self) -> Tensor:
        """The matrices ``(stack, rows, columns)``, float64."""
        return self.matrices.of(self.module.weight.detach().double())

    @property
    def owner(self) -> str:
        """Path of the module whose parameter it is."""
        return self.name.rpartition(f"{PART}.")[0].removesuffix(".")

    @property
    def parameter(self) -> str:
        """The parameter's name in the user's model: ``lstm.weight_ih_l0``."""
        owner, own = self.owner, self.name.rpartition(".")[2]
        return f"{owner}.{own}" if owner else own

    @property
    def names(self) -> tuple[str, ...]:
        """What the user may call it in ``exclude``: the module, the parameter, the layer."""
        return self.owner, self.parameter, self.name


def stored_layer(path: str, stored: Stored, reads: float = 0) -> StoredLayer:
    """Return the layer of the parameter that a `Stored` at ``path`` holds whole."""
    return StoredLayer(path, (path,), cast(Any, stored), (), reads=reads)
