"""Replace modules of a network by others: state attached to the old module is moved to the new one.

That state is: training mode, which parameters are trained, dtype and device, hooks on the forward and the backward
pass, attributes that the user set, geometry (see `stand_in`), and all the places where the module is used. A module
with state that cannot be moved must stay (see `can_replace`).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from ..errors import RankfrontError
from .copying import copied
from .stand_in import stand_for
from .stored import Matrices, Stored, Whole

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


USUAL: dict[type[nn.Module], Callable[[], nn.Module]] = {
    nn.MultiheadAttention: functools.partial(nn.MultiheadAttention, 1, 1, device="meta"),
    NonDynamicallyQuantizableLinear: functools.partial(NonDynamicallyQuantizableLinear, 1, 1, device="meta"),
    nn.Linear: functools.partial(nn.Linear, 1, 1, device="meta"),
    nn.Conv1d: functools.partial(nn.Conv1d, 1, 1, 1, device="meta"),
    nn.Conv2d: functools.partial(nn.Conv2d, 1, 1, 1, device="meta"),
    nn.Conv3d: functools.partial(nn.Conv3d, 1, 1, 1, device="meta"),
    nn.ConvTranspose1d: functools.partial(nn.ConvTranspose1d, 1, 1, 1, device="meta"),
    nn.ConvTranspose2d: functools.partial(nn.ConvTranspose2d, 1, 1, 1, device="meta"),
    nn.ConvTranspose3d: functools.partial(nn.ConvTranspose3d, 1, 1, 1, device="meta"),
    Stored: lambda: Stored(Whole(Matrices((1, 1))), nn.Parameter(torch.empty(1, 1, device="meta"))),
}
"""The classes that can be replaced, and how one to which the user attached nothing is made."""


def replaced(
    model: nn.Module,
    instead: Mapping[str, nn.Module],
    *,
    originals: Mapping[str, nn.Module] | None = None,
    keep_trained: bool = True,
    sharing: bool = False,
) -> nn.Module:
    """Return a copy of ``model`` in which other modules stand at some paths; ``model`` stays as it is.

    Args:
        model: any network.
        instead: path → what stands there. A module that is used at several paths is replaced at all of them. A
            parameter of ``model`` that it holds is not copied: the copy's other modules hold the very same one.
        originals: path → the user's module in whose place the one of ``model`` stands, where that is a replacement
            itself. The user's attributes are those of the original, so a replacement may have attributes of its own.
        keep_trained: whether the original says which parameters are trained: new weights are where its weights
            are, new biases where its bias is. False: as the new module has it.
        sharing: whether the copy holds the very parameters of ``model``, instead of copies.

    Raises:
        RankfrontError: an attribute that the user set has the name of one that the new module needs; or the model's
            own ``__deepcopy__`` does not pass on what it is given.
    """
    # A deep copy that already knows what stands for a module puts it wherever that module is used: in containers,
    # under several names, at the root. Hooks are copied with the same memory, so bound methods point into the copy.
    memo: dict[int, Any] = {}
    pairs: dict[int, tuple[nn.Module, nn.Module, nn.Module]] = {}
    for path, new in instead.items():
        old = model.get_submodule(path)
        memo[id(old)] = new
        pairs.setdefault(id(new), ((originals or {}).get(path, old), old, new))
        memo |= {id(parameter): parameter for parameter in new.parameters()}
    if sharing:
        memo |= {id(parameter): parameter for parameter in model.parameters()}
    found = copied(model, memo)
    made = {id(module) for module in found.modules()}
    for path, new in instead.items():
        if id(new) not in made:
            raise RankfrontError(
                f"the model's __deepcopy__ must copy each part by copy.deepcopy(part, memo), but makes {path} anew: "
                "pass the memo on, or take the __deepcopy__ away"
            )
    for original, old, new in pairs.values():
        _carry_over(original, old, new, memo)
        if keep_trained:
            train_as(original, new)
    return found


def can_replace(modules: Sequence[nn.Module]) -> tuple[bool, str]:
    """Return whether the state of modules can be moved to a single one in their place, and why not."""
    for module in modules:
        if type(module) not in USUAL:
            return False, f"{type(module).__name__} is a subclass with a behaviour of its own"
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
        return False, "the modules that share its weight have hooks, or different attributes"
    return True, ""


def can_carry(old: nn.Module, new: nn.Module) -> tuple[bool, str]:
    """Return whether the user's attributes of ``old`` have a place on ``new``, and why not."""
    for name in _attributes(old):
        if hasattr(new, name):
            return False, f"its attribute {name!r} has the name of one that its replacement needs"
    return True, ""


def has_hooks(module: nn.Module) -> bool:
    """Return whether a module has hooks on the forward or the backward pass."""
    return any(getattr(module, name) for name in HOOKS)


def _carry_over(original: nn.Module, old: nn.Module, new: nn.Module, memo: dict[int, Any]) -> None:
    like = next((p for p in old.parameters() if p.is_floating_point()), None)
    if like is not None:
        new.to(like.device, like.dtype)
    new.train(old.training)
    for name in HOOKS:
        getattr(new, name).update(copy.deepcopy(getattr(old, name), memo))
    if old._is_full_backward_hook is not None:
        new._is_full_backward_hook = old._is_full_backward_hook
    possible, reason = can_carry(original, new)
    if not possible:
        raise RankfrontError(f"a {type(original).__name__} cannot be replaced: {reason}")
    vars(new).update((name, copy.deepcopy(vars(old)[name], memo)) for name in _attributes(original))
    stand_for(new, original)


def train_as(old: nn.Module, new: nn.Module) -> None:
    """Let the weights of ``new`` be trained where those of ``old`` are, its biases where that one's bias is."""
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
    """Return a module of that class, or of the nearest known class above it, to which the user attached nothing."""
    return next((USUAL[known]() for known in kind.__mro__ if known in USUAL), nn.Module())


def _alike(modules: Sequence[nn.Module]) -> bool:
    first, *others = modules
    expected = _attributes(first)
    try:
        return not any(map(has_hooks, modules)) and all(bool(_attributes(other) == expected) for other in others)
    except (RuntimeError, ValueError):  # tensors, arrays: not one truth
        return False
