"""Try a module by itself: what it computes on inputs of several sizes, in eval mode and in training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ...data.randomness import fixed_seed
from ..copying import copied
from ..replace import HOOKS
from ..same import same
from .capture import Call, captured
from .inputs import Input, variants

ROUNDINGS = 32
"""Relative difference of outputs that counts as rounding, in units of the machine precision."""

TOKENS, PLACES = 4, 8
"""Tokens, and places beyond two kernels, of an input that a module is tried on: they limit the computing time."""


class Isolated:
    """A copy of a module without hooks; one of 16 bits in float32, where it runs there.

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
        self.module, self.x = native, _cropped(native, given.tensor.detach())
        try:
            self.output(self.x, training=False)
        except Exception:  # it insists on the model's own size
            self.x = given.tensor.detach()
        if self.x.dtype in (torch.float16, torch.bfloat16):
            self._widen()
        self.tolerance = ROUNDINGS * torch.finfo(self.x.dtype).eps

    def _widen(self) -> None:
        narrow = self.module, self.x
        try:
            self.module, self.x = copy.deepcopy(self.module).float(), self.x.float()
            if self.output(self.x, training=False).dtype == torch.float32:
                return
        except Exception:  # it casts to a type of its own
            pass
        self.module, self.x = narrow

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


def _cropped(module: nn.Module, x: Tensor) -> Tensor:
    """Return a part of a module's input: one sample, of few places. It saves time, the whole model is tried anyway."""
    kernel = max((p.shape[2:] for p in module.parameters() if p.ndim > 1), key=len)
    x = x[:1]
    if not kernel:
        return x[tuple(slice(TOKENS) for _ in x.shape[:-1])]
    sizes = tuple(slice(2 * size + PLACES) for size in kernel)
    return x[(..., *sizes)] if x.ndim > len(kernel) else x
