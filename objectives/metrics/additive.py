"""A metric that is a sum over layers: each factorized layer changes it by what its kind's cost formula says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, final

from ..kinds.registry import kind_named

if TYPE_CHECKING:
    from ..kinds.kind import Cost
    from ..model.layer import Layer
    from ..plan import Choice, Plan


@final
class Additive:
    """The dense model's amount, and what every choice for a layer changes of it."""

    additive = True

    def __init__(self, dense: float, layers: Mapping[str, Layer], added: Callable[[Layer, Cost], float]) -> None:
        """Take the dense model's amount and ``added(layer, cost)``: what a factorization of that cost adds."""
        self.dense = dense
        self.layers = layers
        self._added = added
        self._known: dict[tuple[str, Choice], float] = {}

    def of(self, plan: Plan) -> float:
        """Return the amount of the network that the plan makes."""
        return self.dense + sum(self._change(self.layers[name], choice) for name, choice in plan.items())

    def changes(self, layer: Layer, choices: Sequence[Choice]) -> list[float]:
        """Return what each choice adds."""
        return [self._change(layer, choice) for choice in choices]

    def _change(self, layer: Layer, choice: Choice) -> float:
        if choice.rank is None:
            return 0
        key = layer.name, choice
        if key not in self._known:
            self._known[key] = self._added(layer, kind_named(choice.kind).cost(layer, choice.rank))
        return self._known[key]
