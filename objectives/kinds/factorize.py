"""Put a plan's factorized layers in the place of a model's layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from ..errors import RankfrontError
from ..model.layer import Layer
from ..model.replace import replaced
from ..plan import Choice, Plan


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
    instead: dict[str, nn.Module] = {}
    for name, choice in plan.items():
        if name not in layers:
            raise RankfrontError(
                f"a plan may only name layers of the model, but it has no layer {name!r} (another architecture?)"
            )
        if choice.rank is not None:
            instead.update(dict.fromkeys(layers[name].paths, module(layers[name], choice)))
    return replaced(model, instead)
