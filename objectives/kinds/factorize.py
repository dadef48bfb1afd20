"""Put factorized modules in the place of a model's layers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

from torch import nn

from ..errors import RankfrontError
from ..model.layer import Layer, layers_named
from ..plan import Choice, Plan
from .registry import kind_named


def factorize(
    model: nn.Module, layers: Mapping[str, Layer], plan: Plan, module: Callable[[Layer, Choice], nn.Module]
) -> nn.Module:
    """Return a copy of ``model`` in which every layer is as the plan says; the model stays as it is.

    Args:
        model: the dense model that ``layers`` were found in.
        layers: by name.
        plan: a choice for some or all of them; layers it does not name stay dense.
        module: called with a layer and its choice, returns the factorized layer.

    Raises:
        RankfrontError: the plan names a layer that the model does not have.
    """
    # A deep copy that already knows what stands for a module puts it wherever that module is used:
    # in containers, under several names, at the root.
    known: dict[int, nn.Module] = {}
    for name, choice in plan.items():
        if name not in layers:
            raise RankfrontError(
                f"a plan may only name layers of the model, but it has no layer {name!r} (another architecture?)"
            )
        if choice.rank is None:
            continue
        layer = layers[name]
        replacement = module(layer, choice).train(layer.module.training)
        if not layer.module.weight.requires_grad:  # what the user froze stays frozen
            replacement.requires_grad_(False)
        for path in layer.paths:
            known[id(model.get_submodule(path))] = replacement
    return copy.deepcopy(model, known)  # pyright: ignore[reportArgumentType]  # memo: id → what stands for it


def skeleton(model: nn.Module, plan: Plan) -> nn.Module:
    """Return a copy of ``model`` in the plan's shape, the factors unfilled: ready for a state dict.

    Args:
        model: the dense model, its attentions unpacked where the plan's are.
        plan: a choice for some or all of its layers.

    Raises:
        RankfrontError: the plan does not fit the model: an unknown layer or kind, an impossible rank.
    """

    def unfilled(layer: Layer, choice: Choice) -> nn.Module:
        kind, rank = kind_named(choice.kind), choice.rank
        assert rank is not None
        if reason := kind.refuses(layer):
            raise RankfrontError(f"kind {kind.name} cannot take layer {layer}: {reason}")
        if possible := kind.impossible(layer, rank):
            raise RankfrontError(f"{kind.name} rank of layer {layer} must be {possible}, but the plan says {rank}")
        return kind.skeleton(layer, rank).to_empty(device=layer.module.weight.device)

    return factorize(model, layers_named(model, plan), plan, unfilled)
