"""A module that computes one plain operation: a subclass of Linear or a convolution, or a class of somebody's own.

Subclasses that change ``__init__`` alone (torchvision's ``Conv3DSimple``), that pad before the convolution (timm's
``Conv2dSame``), Hugging Face's ``Conv1D`` (a Linear whose weight is transposed). What a module computes is seen in what
it does: it must give the same as the plain module in eval mode and in training, on inputs of several sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from ...data.structure import Inputs
from ..copying import copied
from ..layer import TYPES
from ..replace import STATE_DICT_HOOKS, replaced
from .build import dims_of, layers_inside, plain
from .form import Found
from .guesses import guesses, random_like
from .inputs import inputs_of
from .isolated import Isolated
from .padding import padding_between


@final
class Operations:
    """One module → ``nn.Linear``, a convolution, or a padding and a convolution."""

    name = "operation"
    option = None

    def find(self, model: nn.Module, samples: Sequence[Inputs]) -> Found:
        """Return every module that computes one plain operation with its own parameters."""
        candidates = {path: module for path, module in model.named_modules() if _may_be(module)}
        given = inputs_of(model, candidates.values(), samples)
        owners = Counter(id(p) for m in model.modules() for p in m.parameters(recurse=False))
        found = Found({}, {})
        for path, module in candidates.items():
            derived = isinstance(module, TYPES)
            possible, reason = _can_move(module)
            data = None
            if possible and id(module) in given:
                if given[id(module)].tensor is None:
                    reason = f"{type(module).__name__} is called with something else than one tensor of numbers"
                else:
                    isolated = Isolated(module, given[id(module)])
                    data, reason = _examined(isolated)
            if data is not None and data["transposed"] and owners[id(module._parameters[data["weight"]])] > 1:
                data, reason = None, "its weight is shared with another module, which does not transpose it"
                derived = True
            if data is not None:
                found.rewrites[path] = data
            elif derived and reason:
                found.reasons[path] = reason
        return found

    def rewritten(self, model: nn.Module, rewrites: Mapping[str, Mapping[str, Any]]) -> nn.Module:
        """Return a copy of ``model`` with these modules plain; their parameters, and ties of these, are kept."""
        own = copied(model)
        instead: dict[str, nn.Module] = {}
        for path, data in rewrites.items():
            module = own.get_submodule(path)
            instead[path] = _plain(module, data)
            for name in [name for name in vars(module) if name in vars(instead[path])]:
                if name not in vars(nn.Module()):  # such as in_features of somebody's own Linear
                    del vars(module)[name]
        return replaced(own, instead, keep_trained=False)

    def inside(self, rewrite: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the convolution in a padded one."""
        return layers_inside(rewrite)

    def offer(self, rewrite: Mapping[str, Any]) -> str:
        """Return nothing: nobody is asked."""
        return ""


FORM = Operations()


def _may_be(module: nn.Module) -> bool:
    """Return whether a module is not plain already, and holds what could be a weight."""
    if type(module) in TYPES:
        return False
    weights = [p for p in module._parameters.values() if p is not None and not nn.parameter.is_lazy(p)]
    return any(p.ndim > 1 and p.is_floating_point() for p in weights)


def _can_move(module: nn.Module) -> tuple[bool, str]:
    """Return whether a module holds nothing but a weight and a bias, and why not."""
    name = type(module).__name__
    held = {id(p): n for n, p in module._parameters.items() if p is not None}
    weights = sum(p is not None and p.ndim > 1 for p in module._parameters.values())
    more = [n for n in held.values() if n not in ("weight", "bias")]
    inside = [n for n, _ in (*module.named_parameters(), *module.named_buffers()) if "." in n]
    own = [n for n, buffer in module._buffers.items() if buffer is not None]
    if weights > 1 or len(held) > 2 or inside or own:
        which = next(iter([*(more if len(held) > 2 or weights > 1 else []), *inside, *own]), "parameters")
        return False, f"{name} holds {which.split('.')[0]!r} of its own beside weight and bias"
    if any(getattr(module, hooks) for hooks in STATE_DICT_HOOKS):
        return False, "its hooks on the state dict know its tensors by name"
    if "forward" in vars(module):
        return False, "its 'forward' is not the one of its class"
    return True, ""


def _plain(module: nn.Module, data: Mapping[str, Any]) -> nn.Module:
    weight, bias = (None if data[name] is None else module._parameters[data[name]] for name in ("weight", "bias"))
    assert weight is not None
    if data["transposed"]:
        weight = nn.Parameter(weight.detach().T.clone(memory_format=torch.contiguous_format), weight.requires_grad)
    return plain(data, weight, bias)


def _examined(isolated: Isolated) -> tuple[dict[str, Any] | None, str]:
    """Return how to build the plain module that computes the same, or None and why there is none."""
    only_in_eval = False
    for data in guesses(isolated):
        dims = dims_of(data["operation"])
        made = _plain(isolated.module, data)
        if isolated.agrees(made, dims, training=False):
            if isolated.agrees(made, dims, training=True):
                return data, ""
            only_in_eval = True
    name = type(isolated.module).__name__
    if only_in_eval:
        return None, f"{name} computes something else in training (noise, dropout)"
    return None, _difference(isolated, name)


def _difference(isolated: Isolated, name: str) -> str:
    """Return what a subclass does beside the plain operation; empty where its weight is a computed one."""
    x = random_like(isolated.x)
    try:
        calls, output = isolated.captured(x)
    except Exception as error:
        return f"{name} fails on random numbers: {type(error).__name__}: {error}".splitlines()[0][:160]
    if len(calls) != 1:
        return f"{name} computes {'more than' if calls else 'something else than'} one plain Linear or convolution"
    (call,) = calls
    if all(call.weight is not p for p in isolated.module.parameters()):
        return ""
    dims = dims_of(call.operation)
    if not isinstance(output, Tensor) or output.shape != call.given.shape or not torch.equal(output, call.given):
        return f"{name} changes the output of its {call.operation} (a scale, noise, an activation)"
    if not dims or padding_between(x, call.taken, dims) is None:
        return f"{name} changes the input of its {call.operation} by something else than a constant padding"
    return f"{name} computes something else on inputs of another size"
