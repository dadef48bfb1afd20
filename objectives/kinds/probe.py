"""Layers that only seem replaceable: models that read a layer's attributes instead of calling it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..data.structure import Inputs, apply
from ..model.layer import Layers
from ..plan import Choice, Plan
from .factorize import skeleton
from .kind import Kind


def without_refused(layers: Layers, kinds: Sequence[Kind]) -> Layers:
    """Return the layers without those that no kind can take."""
    refused = {
        layer.name: "; ".join(f"{kind.name}: {kind.refuses(layer)}" for kind in kinds)
        for layer in layers
        if all(kind.refuses(layer) for kind in kinds)
    }
    found = tuple(layer for layer in layers if layer.name not in refused)
    return Layers(found, {**layers.left_dense, **refused})


def without_unreplaceable(model: nn.Module, layers: Layers, example: Inputs, kinds: Sequence[Kind]) -> Layers:
    """Return the layers without those whose replacement makes the model fail on one sample.

    Such as ``x.view(-1, self.fc.in_features)``, or the fast path of ``nn.TransformerEncoderLayer``.
    """
    plans = {
        layer.name: Plan({layer.name: Choice(kind.name, kind.smallest(layer))})
        for layer in layers
        for kind in kinds
        if not kind.refuses(layer)
    }
    everything = Plan({name: choice for plan in plans.values() for name, choice in plan.items()})
    if not _failure(model, everything, example):
        return layers
    reasons = {name: _failure(model, plan, example) for name, plan in plans.items()}
    refused = {name: f"the model fails when it is replaced: {why}" for name, why in reasons.items() if why}
    found = tuple(layer for layer in layers if layer.name not in refused)
    return Layers(found, {**layers.left_dense, **refused})


@torch.no_grad()
def _failure(model: nn.Module, plan: Plan, example: Inputs) -> str:
    """Return why the model cannot run in a plan's shape (with factors of zero); empty where it can."""
    trial = skeleton(model, plan).eval()
    for name in plan:
        for tensor in trial.get_submodule(name).state_dict(keep_vars=True).values():
            tensor.zero_()
    try:
        apply(trial, example)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:120]
    return ""
