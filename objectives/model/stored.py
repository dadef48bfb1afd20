"""A parameter that its module reads as a product of factors: torch's `torch.nn.utils.parametrize`, one class of it.

A weight that is multiplied in a way that no module shows (``F.linear(x, self.qkv.weight)``, an LSTM's weights, experts
in one parameter) cannot be replaced by two modules. But its module can read a product in its place: then fewer numbers
are stored, and the product is computed at every read. ``parametrize.remove_parametrizations(module, name)`` makes a
plain parameter of it again.

The module of such a parameter is at ``OWNER.parametrizations.NAME``, a `Stored`: of a `Whole` parameter in the dense
model, of a `Product` where it is factorized. While an owner's own forward runs it reads each parameter once, however
often it asks for it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


@dataclass(frozen=True)
class Matrices:
    """How a parameter is a stack of matrices: its last ``columns`` dimensions, the ``rows`` before them, the stack."""

    shape: tuple[int, ...]
    rows: int = 1
    columns: int = 1

    @property
    def size(self) -> tuple[int, int, int]:
        """Number of matrices, and of rows and columns of each."""
        places = len(self.shape) - self.columns
        stack = places - self.rows
        return math.prod(self.shape[:stack]), math.prod(self.shape[stack:places]), math.prod(self.shape[places:])

    def of(self, parameter: Tensor) -> Tensor:
        """Return the parameter as ``(stack, rows, columns)``."""
        return parameter.reshape(self.size)


@final
class Whole(nn.Module):
    """The parameter itself."""

    def __init__(self, matrices: Matrices) -> None:
        super().__init__()
        self.matrices = matrices

    def forward(self, weight: Tensor) -> Tensor:
        """Return the parameter."""
        return weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the parameter: what ``module.NAME = weight`` stores."""
        return weight


@final
class Product(nn.Module):
    """``left @ right``, of the parameter's shape: ``(stack, rows, rank)``, ``(stack, rank, columns)``.

    The factors of a single matrix have no dimension for the stack.
    """

    def __init__(self, matrices: Matrices, rank: int) -> None:
        super().__init__()
        self.matrices = matrices
        self.rank = rank

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the parameter."""
        product = left @ right
        return product if product.shape == self.matrices.shape else product.reshape(self.matrices.shape)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors of least squared error: what ``module.NAME = weight`` stores."""
        stack, rows, columns = self.matrices.size
        single = () if stack == 1 else (stack,)
        if weight.is_meta:
            return weight.new_empty(*single, rows, self.rank), weight.new_empty(*single, self.rank, columns)
        u, s, v = torch.linalg.svd(self.matrices.of(weight).double(), full_matrices=False)
        left, right = u[..., : self.rank] * s[:, None, : self.rank], v[:, : self.rank]
        return left.reshape(*single, rows, -1).to(weight), right.reshape(*single, -1, columns).to(weight)


@final
class Stored(parametrize.ParametrizationList):
    """What a module reads a parameter from."""

    bias: ClassVar[None] = None

    def __init__(self, part: Whole | Product, weight: nn.Parameter) -> None:
        super().__init__([part], weight, unsafe=True)
        self._read: dict[tuple[bool, bool], Tensor] | None = None

    @property
    def matrices(self) -> Matrices:
        """How the parameter is a stack of matrices."""
        part = self[0]
        assert isinstance(part, (Whole, Product))
        return part.matrices

    @property
    def weight(self) -> Tensor:
        """The whole parameter, of the dense model; of factors there is none."""
        return self.original

    def forward(self) -> Tensor:
        """Return the parameter; within `reading_once` what was returned before."""
        if self._read is None:
            return super().forward()
        mode = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        if mode not in self._read:
            self._read[mode] = super().forward()
        return self._read[mode]

    @contextlib.contextmanager
    def reading_once(self) -> Iterator[None]:
        """Compute the parameter once, and forget it at the end."""
        if self._read is not None:  # the owner calls itself
            yield
            return
        self._read = {}
        try:
            yield
        finally:
            self._read = None


def store(owner: nn.Module, name: str, matrices: Matrices) -> None:
    """Let a module read one of its parameters from a `Stored`, in place.

    Raises:
        ValueError: the module has parametrizations already, or no such parameter.
    """
    weight = owner._parameters.get(name)
    if weight is None:
        raise ValueError(f"{type(owner).__name__} has no parameter {name!r}")
    if parametrize.is_parametrized(owner) and not all(isinstance(p, Stored) for p in stored_of(owner)):
        raise ValueError(f"{type(owner).__name__} has parametrizations already")
    parametrize.register_parametrization(owner, name, Whole(matrices), unsafe=True)
    assert isinstance(owner.parametrizations, nn.ModuleDict)
    owner.parametrizations[name] = Stored(Whole(matrices), weight)
    _read_once(owner)


def stored_of(owner: nn.Module) -> list[nn.Module]:
    """Return the modules that a module reads its parametrized parameters from."""
    held = owner._modules.get("parametrizations")
    return [] if held is None else list(held.children())


def _read_once(owner: nn.Module) -> None:
    """Let the class that torch made for this module, and its copies, open `Stored.reading_once` around its forward."""
    cls: Any = type(owner)
    if "forward" in vars(cls):
        return

    @functools.wraps(cls.forward)
    def forward(self: nn.Module, *args: Any, **keywords: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for stored in stored_of(self):
                if isinstance(stored, Stored):
                    stack.enter_context(stored.reading_once())
            if isinstance(self, nn.RNNBase):
                stack.callback(_forget, self)
            return super(cls, self).forward(*args, **keywords)

    cls.forward = forward
    if isinstance(owner, nn.RNNBase):
        cls._update_flat_weights, cls._init_flat_weights = _gather, _forget
        _forget(owner)


_GONE: weakref.ReferenceType[Any] = weakref.ref(type("Gone", (), {})())
"""A reference to nothing: by it an ``nn.RNNBase`` sees that it must gather its weights."""


def _gather(rnn: nn.RNNBase) -> None:
    """Make the list of weights that an ``nn.LSTM`` and its like hand to one function."""
    rnn._flat_weights = [getattr(rnn, name, None) for name in rnn._flat_weights_names]


def _forget(rnn: nn.RNNBase) -> None:
    """Empty that list: products belong to one pass, and cannot be copied with the module."""
    rnn._flat_weights = [None] * len(rnn._flat_weights_names)
    rnn._flat_weight_refs = [_GONE] * len(rnn._flat_weights_names)
