"""Modules of a network replaced by others: what hung on the old module hangs on the new one.

That is: training mode, which parameters are trained, dtype and device, hooks on the forward and the backward pass,
attributes that the user set, and all the places where the module is used. A module on which something hangs that cannot
be carried over must stay (see `can_replace`).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import RankfrontError

HOOKS = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_pre_hooks",
    "_backward_hooks",
)
"""Where torch keeps a module's hooks, and how each is to be called."""

STATE_DICT_HOOKS = (
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def replaced(model: nn.Module, instead: Mapping[str, nn.Module], *, keep_trained: bool = True) -> nn.Module:
    """Return a copy of ``model`` in which other modules stand at some paths; ``model`` stays as it is.

    Args:
        model: any network.
        instead: path → what stands there. A module that is used at several paths is replaced at all of them.
        keep_trained: whether the old module says which parameters are trained: new weights are where its weights
            are, new biases where its bias is. False: as the new module has it.

    Raises:
        RankfrontError: an attribute that the user set has the name of one that the new module needs.
    """
    # A deep copy that already knows what stands for a module puts it wherever that module is used: in containers,
    # under several names, at the root. Hooks are copied with the same memory, so bound methods point into the copy.
    memo: dict[int, Any] = {}
    pairs: dict[int, tuple[nn.Module, nn.Module]] = {}
    for path, new in instead.items():
        old = model.get_submodule(path)
        memo[id(old)] = new
        pairs.setdefault(id(new), (old, new))
    copied = copy.deepcopy(model, memo)
    for old, new in pairs.values():
        _carry_over(old, new, memo)
        if keep_trained:
            _train_as(old, new)
    return copied


def can_replace(modules: Sequence[nn.Module]) -> tuple[bool, str]:
    """Return whether all that hangs on modules can be carried over to a single one in their place, and why not."""
    for module in modules:
        usual = _usual(type(module))
        if any(getattr(module, name) for name in STATE_DICT_HOOKS):
            return False, "its hooks on the state dict know its tensors by name"
        for held in ("_parameters", "_buffers", "_modules"):
            if more := sorted(getattr(module, held).keys() - getattr(usual, held).keys()):
                return False, f"it holds {more[0]!r} of its own beside weight and bias"
        for name in _attributes(module):
            if hasattr(type(module), name):
                return False, f"its {name!r} is not the one of its class"
    if len(modules) > 1 and not _alike(modules):
        return False, "different hooks or attributes hang on the modules that share its weight"
    return True, ""


def can_carry(old: nn.Module, new: nn.Module) -> tuple[bool, str]:
    """Return whether the user's attributes of ``old`` have a place on ``new``, and why not."""
    for name in _attributes(old):
        if hasattr(new, name):
            return False, f"its attribute {name!r} has the name of one that its replacement needs"
    return True, ""


def _carry_over(old: nn.Module, new: nn.Module, memo: dict[int, Any]) -> None:
    like = next((p for p in old.parameters() if p.is_floating_point()), None)
    if like is not None:
        new.to(like.device, like.dtype)
    new.train(old.training)
    for name in HOOKS:
        getattr(new, name).update(copy.deepcopy(getattr(old, name), memo))
    if old._is_full_backward_hook is not None:
        new._is_full_backward_hook = old._is_full_backward_hook
    possible, reason = can_carry(old, new)
    if not possible:
        raise RankfrontError(f"a {type(old).__name__} cannot be replaced: {reason}")
    vars(new).update((name, copy.deepcopy(value, memo)) for name, value in _attributes(old).items())


def _train_as(old: nn.Module, new: nn.Module) -> None:
    trained = {True: False, False: False}
    biased = False
    for name, parameter in old.named_parameters():
        is_bias = name.endswith("bias")
        biased |= is_bias
        trained[is_bias] |= parameter.requires_grad
    for name, parameter in new.named_parameters():
        parameter.requires_grad_(trained[biased and name.endswith("bias")])


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return the attributes that a module has beyond what its class gives it."""
    usual = vars(_usual(type(module)))
    return {name: value for name, value in vars(module).items() if name not in usual}


@functools.cache
def _usual(kind: type[nn.Module]) -> nn.Module:
    """Return a module of that class on which nothing hangs."""
    if kind is nn.MultiheadAttention:
        return nn.MultiheadAttention(1, 1, device="meta")
    if kind is nn.Linear:
        return nn.Linear(1, 1, device="meta")
    if kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d):
        return kind(1, 1, 1, device="meta")
    return nn.Sequential()


def _alike(modules: Sequence[nn.Module]) -> bool:
    first, *others = modules
    expected = _attributes(first)
    try:
        return not any(getattr(module, name) for module in modules for name in HOOKS) and all(
            bool(_attributes(other) == expected) for other in others
        )
    except (RuntimeError, ValueError):  # tensors, arrays: not one truth
        return False
