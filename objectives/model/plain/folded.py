"""A weight that is a function of a stored one, folded into a plain weight: the same in eval mode.

Weight norm and spectral norm (torch's old and new ones), any parametrization, pruning masks, and modules that compute
their weight in ``forward`` (timm's ``StdConv2d``: weight standardization). Training then moves the weight itself, so
the user is asked first. The weight is the one that the operation really gets, whatever it is computed by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ...data.structure import Inputs
from ..copying import copied
from ..layer import TYPES
from ..mode import in_mode
from ..replace import has_hooks, replaced
from ..same import same
from .build import dims_of, layers_inside, plain
from .capture import Call, captured
from .form import Found
from .guesses import random_like, with_padding
from .inputs import Input, inputs_of, variants
from .isolated import Isolated

COMPUTING: dict[type, str] = {
    WeightNorm: "weight norm",
    SpectralNorm: "spectral norm",
    prune.BasePruningMethod: "pruning",
    parametrizations._WeightNorm: "weight norm",
    parametrizations._SpectralNorm: "spectral norm",
}
"""What computes a weight, as a hook before the forward pass or as a parametrization, and its name."""


@final
class Folding:
    """A module that computes its weight → a plain module that holds it."""

    name = "folded"
    option = "fold"

    def find(self, model: nn.Module, samples: Sequence[Inputs]) -> Found:
        """Return every module that computes one plain operation with a weight computed from its own parameters."""
        candidates = {path: module for path, module in model.named_modules() if _may_compute(module)}
        given = inputs_of(model, candidates.values(), samples)
        owners = Counter(id(p) for m in model.modules() for p in m.parameters(recurse=False))
        found = Found({}, {})
        for path, module in candidates.items():
            if id(module) not in given or given[id(module)].tensor is None:
                continue
            data = _examined(module, given[id(module)])
            if data is None:
                continue
            if any(owners[id(p)] > 1 for p in module.parameters()):
                found.reasons[path] = f"its weight is computed from another ({data['of']}), which others share"
            else:
                found.rewrites[path] = data
        return found

    def rewritten(self, model: nn.Module, rewrites: Mapping[str, Mapping[str, Any]]) -> nn.Module:
        """Return a copy of ``model`` in which these weights are folded."""
        own = copied(model)
        instead: dict[str, nn.Module] = {}
        for path, data in rewrites.items():
            module = own.get_submodule(path)
            call = _computed(module, data["input"])
            trained = any(p.requires_grad for p in module.parameters())
            weight = nn.Parameter(call.weight.detach().clone(), trained)
            bias = (
                None if call.bias is None else nn.Parameter(call.bias.detach().clone(), _bias_trained(module, trained))
            )
            instead[path] = plain(data, weight, bias)
            for key in _computing(module):
                del module._forward_pre_hooks[key]
            for name in [name for name in vars(module) if hasattr(instead[path], name)]:
                if name not in vars(nn.Module()):  # such as the weight that old-style weight norm leaves
                    del vars(module)[name]
        return replaced(own, instead, keep_trained=False)

    def inside(self, rewrite: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the convolution in a padded one."""
        return layers_inside(rewrite)

    def offer(self, rewrite: Mapping[str, Any]) -> str:
        """Return that the weight is computed, and which option folds it."""
        return f"its weight is computed from another ({rewrite['of']}): Task(fold=True) or --fold folds it"


FORM = Folding()


def _may_compute(module: nn.Module) -> bool:
    """Return whether a module is none of torch's plain ones, and holds a parameter that could become a weight."""
    if type(module) in TYPES and module._parameters.get("weight") is not None:
        return False
    held = [p for p in module._parameters.values() if p is not None]
    if parametrize.is_parametrized(module):
        held += [*module.parametrizations.parameters()]  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    return any(p.is_floating_point() and not nn.parameter.is_lazy(p) and p.ndim > 1 for p in held)


def _computing(module: nn.Module) -> dict[int, Callable[..., Any]]:
    """Return the hooks before the forward pass that compute a weight, by their key."""
    return {key: hook for key, hook in module._forward_pre_hooks.items() if isinstance(hook, tuple(COMPUTING))}


def _name_of(module: nn.Module) -> str:
    """Return by what the weight is computed."""
    parts: list[object] = list(_computing(module).values())
    if parametrize.is_parametrized(module):
        parts += [part for chain in module.parametrizations.values() for part in chain]  # pyright: ignore
    names = [next((n for kind, n in COMPUTING.items() if isinstance(p, kind)), type(p).__name__) for p in parts]
    return ", ".join(dict.fromkeys(names)) or type(module).__name__


def _examined(module: nn.Module, given: Input) -> dict[str, Any] | None:
    """Return how to fold a module, or None where it does not compute one plain operation with one weight."""
    if "forward" in vars(module) or any(has_hooks(part) for part in module.modules() if part is not module):
        return None
    isolated = Isolated(module, given, frozenset(_computing(module)))
    x = random_like(isolated.x)
    call = _only_call(isolated, x)
    if call is None or any(call.weight is p for p in isolated.module._parameters.values()):
        return None
    shape = [1, *isolated.x.shape[1:]] if isolated.x.ndim > 1 else list(isolated.x.shape)
    known = {"operation": call.operation, "of": _name_of(module), "input": shape}
    dims = dims_of(call.operation)
    for more in variants(isolated.x, dims):  # a weight that depends on the input is none
        other = _only_call(isolated, more)
        if other is not None and not same([call.weight], [other.weight], isolated.tolerance):
            return None
    for data in _guesses(known, call, x, dims):
        made = plain(data, call.weight, call.bias)
        if isolated.agrees(made, dims, training=False):
            return data
    return None


def _guesses(known: dict[str, Any], call: Call, x: Tensor, dims: int) -> Iterator[dict[str, Any]]:
    if not dims:
        yield known
    else:
        yield from with_padding({**known, "geometry": call.geometry}, x, call.taken, dims)


def _only_call(isolated: Isolated, x: Tensor) -> Call | None:
    try:
        calls, _ = isolated.captured(x)
    except Exception:  # a size or values that are not accepted
        return None
    return calls[0] if len(calls) == 1 else None


@torch.no_grad()
def _computed(module: nn.Module, shape: Sequence[int]) -> Call:
    """Return the operation that a module computes on zeros of that shape, in its own type."""
    like = next(p for p in module.parameters())
    zeros = torch.zeros(*shape, dtype=like.dtype, device=like.device)
    with in_mode(module, training=False):
        (call,), _ = captured(module.__call__, zeros)
    return call


def _bias_trained(module: nn.Module, otherwise: bool) -> bool:
    bias = module._parameters.get("bias")
    return otherwise if bias is None else bias.requires_grad
