"""How many samples are passed at once where no gradients are needed.

No more than training passes, since a training step holds every tensor that such a pass makes and more; so what trains
also scores. More only where a pass takes very little memory whatever happens. Nothing here depends on how much memory
is free: the same study passes the same batches, and so has the same results, wherever it runs.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..data.structure import Inputs, apply, tensors_of

LITTLE = 2**25
"""So many bytes of all that a pass makes, nothing freed, are no burden anywhere: importing torch takes ten times it."""

MOST = 128
"""Samples beyond which larger batches were no faster: 512 took 1.2 times as long (CPU; a small CNN, ResNet-18)."""


def pass_size(model: nn.Module, example: Inputs, training: int) -> int:
    """Return the largest batch of the passes without gradients.

    Args:
        model: in eval mode, on the device of ``example``.
        example: one sample's inputs.
        training: the batch size of training.
    """
    return max(training, min(MOST, LITTLE // max(1, made_bytes(model, example))))


@torch.no_grad()
def made_bytes(model: nn.Module, example: Inputs) -> int:
    """Return the bytes of all tensors that a pass makes, views and results in place not counted."""
    with _Counter() as counter:
        apply(model, example)
    return counter.size


class _Counter(TorchDispatchMode):
    """Adds up the bytes of whatever operations make."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {_storage(tensor) for tensor in itertools.chain(tensors_of(list(args)), tensors_of(kwargs or {}))}
        self.size += sum(t.numel() * t.element_size() for t in tensors_of(made) if _storage(t) not in given)
        return made


def _storage(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # sparse and the like
        return id(tensor)
