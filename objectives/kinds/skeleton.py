"""Build the network that a plan makes of a dense model, without weights."""

from __future__ import annotations

from torch import nn

from ..errors import RankfrontError
from ..model.finding import layers_named
from ..model.layer import Layer
from ..plan import Choice, Plan
from .factorize import factorize
from .registry import kind_named


def skeleton(model: nn.Module, plan: Plan) -> nn.Module:
    """Return a copy of ``model`` with the plan's modules, whose weights are to be loaded from a state dict.

    Args:
        model: the dense model, its attentions unpacked where the plan's are.
        plan: a choice for some or all of its layers.

    Raises:
        RankfrontError: the plan does not fit the model: an unknown layer or kind, an impossible rank.
    """

    def unfilled(layer: Layer, choice: Choice) -> nn.Module:
        kind, rank = kind_named(choice.kind), choice.rank
        assert rank is not None
        applies, reason = kind.applies(layer)
        if not applies:
            raise RankfrontError(f"kind {kind.name} cannot take layer {layer}: {reason}")
        accepted, rule = kind.accepts(layer, rank)
        if not accepted:
            raise RankfrontError(f"{kind.name} rank of layer {layer} must be {rule}, but the plan says {rank}")
        return kind.skeleton(layer, rank).to_empty(device=layer.module.weight.device)

    return factorize(model, layers_named(model, plan), plan, unfilled)
