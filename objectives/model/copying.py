"""Copy a network, or say which part of it cannot be copied."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import RankfrontError

Network = TypeVar("Network", bound=nn.Module)


def copied(model: Network, memo: dict[int, Any] | None = None) -> Network:
    """Return a deep copy.

    A tensor that was computed is copied as its values, such as the weight that old-style weight norm, spectral norm and
    pruning leave on a module, which computes it anew before it is used; or an output that a hook has kept.

    Args:
        model: any network.
        memo: what stands for parts of it, by ``id``; see ``copy.deepcopy``.

    Raises:
        RankfrontError: a part cannot be copied, such as a lock or a file; it is named.
    """
    memo = {} if memo is None else memo
    for tensor in (t for module in model.modules() for value in vars(module).values() for t in _computed(value)):
        memo.setdefault(id(tensor), tensor.detach().clone())
    try:
        with torch.enable_grad():  # by which a scripted part knows which of its parameters are trained
            found = copy.deepcopy(model, memo)
    except Exception as error:  # whatever a stranger's __deepcopy__ or __reduce__ raises
        what = next(_cannot_be_copied(model), f"it: {type(error).__name__}: {error}")
        raise RankfrontError(
            f"the model must be one that copy.deepcopy copies, but does not copy {what}; remove that before, "
            "or give its class a __deepcopy__"
        ) from error
    for parameter in found.parameters():
        if not parameter.is_leaf:  # of a scripted part: computed of the original's
            parameter.detach_().requires_grad_()
    return found


def _computed(value: object) -> Iterator[Tensor]:
    """Yield the tensors with a history in an attribute: itself, or in lists, tuples and dicts of it."""
    left, seen = [value], set[int]()
    while left:
        item = left.pop()
        if isinstance(item, Tensor):
            if not item.is_leaf:
                yield item
        elif isinstance(item, (list, tuple, dict)) and not isinstance(item, nn.Module) and id(item) not in seen:
            seen.add(id(item))  # which may hold itself
            left += item.values() if isinstance(item, dict) else item


def _cannot_be_copied(model: nn.Module) -> Iterator[str]:
    """Yield the attributes that cannot be copied, by name, module and type."""
    held = {"_parameters", "_buffers", "_modules"}
    for path, module in model.named_modules():
        parts = [(name, value) for name, value in vars(module).items() if name not in held]
        parts += [*module._parameters.items(), *module._buffers.items()]
        for name, value in parts:
            if next(_computed(value), None) is not None:
                continue
            # What points back to a module of the model is copied with the model.
            known = {id(part): part for part in (*model.modules(), *model.parameters(), *model.buffers())}
            known.pop(id(value), None)
            try:
                copy.deepcopy(value, known)
            except Exception as error:
                where = f"{type(module).__name__} {path}".rstrip()
                yield f"{name!r} of {where}, a {type(value).__name__} ({type(error).__name__}: {error})"
