"""Try a module by itself: what it computes on inputs of several sizes, in eval mode and in training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ...data.randomness import fixed_seed
from ..copying import copied
from ..replace import HOOKS
from .capture import Call, captured
from .inputs import Input, variants
from .same import same

EXACT = 1e-10
"""Relative difference of outputs in float64 that counts as rounding."""

ROUNDINGS = 8
"""The same in the module's own type, in units of its machine precision."""


class ModuleTrial:
    """A copy of a module without hooks, in float64 where it runs there.

    Args:
        module: the user's.
        given: what the model calls it with; its one tensor.
        keep: the hooks before the forward pass that compute its weight, by the key they are registered under.
    """

    def __init__(self, module: nn.Module, given: Input, keep: frozenset[int] = frozenset()) -> None:
        assert given.tensor is not None
        self.given = given
        native = copied(module)
        for part in native.modules():
            for name in HOOKS:
                hooks = getattr(part, name)
                kept = {key: hook for key, hook in hooks.items() if part is native and key in keep}
                hooks.clear()
                hooks.update(kept)
        x = given.tensor.detach()
        self.tolerance = ROUNDINGS * torch.finfo(x.dtype).eps
        self.module, self.x = native, x
        try:
            self.module, self.x = copy.deepcopy(native).double(), x.double()
            if self.output(self.x, training=False).dtype != torch.float64:
                raise TypeError("it casts to a type of its own")
            self.tolerance = EXACT
        except Exception:
            self.module, self.x = native, x

    def _called(self, x: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self.given.positional:
            return (x,), {}
        return (), dict.fromkeys(self.given.keywords, x)

    @torch.no_grad()
    def output(self, x: Tensor, *, training: bool) -> Any:
        """Return what the module gives; the same seed every time."""
        positional, keywords = self._called(x)
        with fixed_seed(0):
            return self.module.train(training)(*positional, **keywords)

    def captured(self, x: Tensor) -> tuple[list[Call], Any]:
        """Return the linear maps that the module computes in eval mode, and its output."""
        positional, keywords = self._called(x)
        with fixed_seed(0):
            return captured(self.module.eval(), *positional, **keywords)

    @torch.no_grad()
    def agrees(self, other: nn.Module, dims: int, *, training: bool) -> bool:
        """Return whether another module gives the same on all inputs that this one accepts."""
        for number, x in enumerate(variants(self.x, dims)):
            try:
                expected = self.output(x, training=training)
            except Exception:  # not every size is accepted
                if number == 0:
                    return False
                continue
            try:
                found = other.train(training)(x)
            except Exception:
                return False
            if not isinstance(expected, Tensor) or expected.dtype != found.dtype:
                return False
            if not same([expected], [found], self.tolerance):
                return False
        return True
