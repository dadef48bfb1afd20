"""Find out by trial which layers cannot be replaced, such as those whose attributes the model reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data.randomness import fixed_seed
from ..data.structure import Inputs, apply, tensors_of
from ..errors import RankfrontError
from ..failing import failing
from ..model.copying import copied
from ..model.finding import Layers
from ..model.layer import Layer
from ..model.mode import in_eval
from ..model.replace import can_carry
from ..model.same import computed, same, tolerance
from ..model.stand_in import Computing, readings
from ..plan import Choice, Plan
from .kind import Kind
from .registry import kind_named
from .skeleton import skeleton


def without_inapplicable(layers: Layers, kinds: Sequence[Kind]) -> Layers:
    """Return the layers without those that no kind can take."""
    refused = {
        layer.name: "; ".join(f"{kind.name}: {kind.applies(layer)[1]}" for kind in kinds)
        for layer in layers
        if not any(kind.applies(layer)[0] for kind in kinds)
    }
    found = tuple(layer for layer in layers if layer.name not in refused)
    return replace(layers, found=found, left_dense={**layers.left_dense, **refused})


def without_unreplaceable(model: nn.Module, layers: Layers, example: Inputs, kinds: Sequence[Kind]) -> Layers:
    """Return the layers without those whose replacement makes the model fail on one sample, or do something else.

    Such as the fast path of ``nn.TransformerEncoderLayer``, a hook that computes with the layer's weight, or a forward
    that asks ``isinstance(layer, nn.Linear)``. A model may read the layer's geometry, and the shape, dtype and device
    of its weight (see `stand_in`).
    """
    expected = _outputs(model, example)
    carried = {layer.name: _can_carry(layer, kinds) for layer in layers}
    refused = {name: reason for name, (possible, reason) in carried.items() if not possible}
    before: list[Plan] = []
    for at in (0, -1):  # the first kind and the last: some have a bias of their own that can be computed with
        choices: dict[str, Choice] = {}
        for layer in layers:
            taking = [kind for kind in kinds if kind.applies(layer)[0]]
            if taking and layer.name not in refused:
                choices[layer.name] = Choice(taking[at].name, taking[at].smallest(layer))

        def why_not(names: Sequence[str], choices: Mapping[str, Choice] = choices) -> str:
            return _stands(model, Plan({name: choices[name] for name in names}), example, expected)[1]

        plan = Plan(choices)
        if plan not in before and why_not(list(choices)):
            for name, why in failing(list(choices), why_not):
                refused[name] = f"the model fails when it is replaced: {why}"
        before.append(plan)
    found = tuple(layer for layer in layers if layer.name not in refused)
    return replace(layers, found=found, left_dense={**layers.left_dense, **refused})


def _can_carry(layer: Layer, kinds: Sequence[Kind]) -> tuple[bool, str]:
    """Return whether the attributes that the user set on a layer have a place on every kind's module, and why not."""
    for kind in kinds:
        for part in (kind, kind_named(kind.base)):
            if part.applies(layer)[0]:
                possible, reason = can_carry(layer.module, part.skeleton(layer, part.smallest(layer)))
                if not possible:
                    return False, reason
    return True, ""


def _outputs(model: nn.Module, example: Inputs) -> list[Tensor] | None:
    """Return what a copy of the model computes on one sample; None where it refuses that."""
    try:
        return computed(copied(model), [example])
    except Exception:  # said by the traced passes
        return None


def _stands(model: nn.Module, plan: Plan, example: Inputs, expected: list[Tensor] | None) -> tuple[bool, str]:
    """Return whether a plan's modules can stand in their layers' places, and why not.

    Factors of zero stand there, and what the dense layers give is added to their outputs. So the outputs of the model
    stay ``expected``, unless it looks at more of a layer than what it gives.
    """
    try:
        trial = _empty(model, plan)
        runs, why, outputs = _runs(trial, plan, example)
    except RankfrontError:  # a copy cannot be made
        raise
    except Exception as error:
        return False, f"{type(error).__name__}: {error}".splitlines()[0][:120]
    if not runs or expected is None:
        return runs, why
    rounding = tolerance([*expected, *model.parameters()])
    if same(expected, outputs, rounding):
        return True, ""
    again = _outputs(model, example)
    if again is None or not same(expected, again, rounding):  # random numbers
        return True, ""
    return False, "it asks for the layer's type, or computes with its parameters"


@torch.no_grad()
def _empty(model: nn.Module, plan: Plan) -> nn.Module:
    """Return the model in a plan's shape, with factors of zero and the dense layers' outputs."""
    trial = in_eval(skeleton(model, plan))
    for name in plan:
        new = trial.get_submodule(name)
        for tensor in new.state_dict(keep_vars=True).values():
            tensor.zero_()
        new.register_forward_hook(_adding(model.get_submodule(name)), prepend=True, with_kwargs=True)
    return trial


def _adding(dense: nn.Module) -> Callable[..., Tensor]:
    """Return a hook that adds what the dense module gives, before the user's own hooks."""

    def add(module: nn.Module, given: tuple[Any, ...], keywords: dict[str, Any], output: Tensor) -> Tensor:
        return output + type(dense).forward(dense, *given, **keywords).to(output.dtype)

    return add


@torch.no_grad()
def _runs(trial: nn.Module, plan: Plan, example: Inputs) -> tuple[bool, str, list[Tensor]]:
    """Return whether the model runs in a plan's shape, why not, and its outputs."""
    layers = [trial.get_submodule(name) for name in plan]
    backwards = any(layer._backward_hooks or layer._backward_pre_hooks for layer in layers)
    with torch.set_grad_enabled(backwards):
        with fixed_seed(0), readings() as read:
            outputs = tensors_of(apply(trial, example))
            kept = [tensor.detach().clone() for tensor in outputs]
            in_forward = read.count
            if backwards and (grown := [t.sum() for t in outputs if t.requires_grad]):
                torch.stack(grown).sum().backward()
        if read.count > in_forward:
            return False, "a backward hook reads the weight", kept
        if not read.count:
            return True, "", kept
        with Computing() as computing:
            apply(trial, example)
        if computing.function is not None:
            return False, f"it computes with the weight ({computing.function})", kept
        with readings(0.0):  # functions that a mode does not see, or that take another way under one
            if not _finite(kept) and _finite(tensors_of(apply(trial, example))):
                return False, "it computes with the weight", kept
    return True, "", kept


def _finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
