"""What modules inside a model are called with, and other inputs of the same kind to try them on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule

from ...data.randomness import fixed_seed
from ...data.structure import Inputs, apply
from ..mode import in_mode


class Input(NamedTuple):
    """What a module is called with: positional arguments and keywords."""

    positional: tuple[Any, ...]
    keywords: dict[str, Any]

    @property
    def tensor(self) -> Tensor | None:
        """The only argument, where that is a tensor of floating-point numbers; else None."""
        given = [*self.positional, *self.keywords.values()]
        if len(given) != 1 or not isinstance(given[0], Tensor) or not given[0].is_floating_point():
            return None
        return given[0]


def inputs_of(model: nn.Module, modules: Iterable[nn.Module], samples: Sequence[Inputs]) -> dict[int, Input]:
    """Run a model on samples; return what each module's ``forward`` is first called with, by the module's ``id``.

    A scripted module is passed over.
    """
    found: dict[int, Input] = {}

    def note(module: nn.Module, positional: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        found.setdefault(id(module), Input(positional, keywords))

    plain = [module for module in modules if not isinstance(module, ScriptModule)]  # which takes no hooks
    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in plain]
    try:
        with in_mode(model, training=False), fixed_seed(0), torch.no_grad():
            for sample in samples if hooks else ():
                apply(model, sample)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def variants(like: Tensor, dims: int) -> Iterator[Tensor]:
    """Yield inputs to try a module on: ``like`` first, then random ones, two of them of other sizes.

    Args:
        like: what the module is called with.
        dims: how many of the last dimensions are places of an image; 0 for a Linear, whose last dimension is channels.
    """
    generator = torch.Generator().manual_seed(0)

    def random(shape: Sequence[int]) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(like.device, like.dtype)

    yield like
    yield random(like.shape)
    if not dims:
        yield random((3, *like.shape))
        yield random((2, like.shape[-1]))
        return
    batch = (2,) if like.ndim == dims + 2 else ()
    for more in (1, 2):
        sizes = (size + more + axis for axis, size in enumerate(like.shape[-dims:]))
        yield random((*batch, like.shape[-dims - 1], *sizes))
