"""What every plan costs, known without building it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from .data import Inputs
from .kinds import KINDS, kind_named
from .layer import Layer, Layers
from .metrics import Entry, Metrics, count, entries, file_bytes
from .plan import DENSE, Choice, Plan


class Costs:
    """The dense model's cost, and what each layer's choice changes of it; exact for every plan."""

    def __init__(self, model: nn.Module, layers: Layers, example: Inputs) -> None:
        self.dense = count(model, example)
        self.layers = {layer.name: layer for layer in layers}
        self.choices: dict[str, tuple[Choice, ...]] = {
            layer.name: (*options, DENSE)
            for layer in layers
            if (options := [Choice(kind.name, rank) for kind in KINDS.values() for rank in kind.ranks(layer)])
        }
        """Every layer's choices in ascending order of rank, ``dense`` last; layers with no other are not in it."""
        self._entries = {entry.name: entry for entry in entries(model)}
        self._of_choice: dict[tuple[str, Choice], tuple[Metrics, list[Entry]]] = {}

    def of(self, plan: Plan) -> Metrics:
        """Return what the compressed network costs: equal to `metrics.count` of it."""
        params, flops = self.dense.params, self.dense.flops
        tensors = dict(self._entries)
        for name, choice in plan.items():
            change, new = self._change(name, choice)
            params += change.params
            flops += change.flops
            if choice != DENSE:
                for path in self.layers[name].paths:
                    tensors.pop(f"{path}.weight", None)
                    tensors.pop(f"{path}.bias", None)
                tensors.update((entry.name, entry) for entry in new)
        return Metrics(params, flops, file_bytes(tensors.values()))

    def smallest(self) -> Metrics:
        """Return the least of each metric that any plan reaches."""
        plans = []
        for column in range(len(Metrics._fields)):
            picks = {}
            for name, options in self.choices.items():
                changes = self.changes(self.layers[name], options)
                picks[name] = min(zip(changes, options, strict=True), key=lambda pair: pair[0][column])[1]
            plans.append(self.of(Plan(picks)))
        return Metrics(*(plan[column] for column, plan in enumerate(plans)))

    def changes(self, layer: Layer, choices: Sequence[Choice]) -> list[Metrics]:
        """Return what each choice for one layer adds to the dense model's cost (negative: saves).

        Bytes are those of the tensors and of their header entries; the header's padding and the
        lengths of its numbers make a whole file differ from the sum by a few bytes.
        """
        return [self._change(layer.name, choice)[0] for choice in choices]

    def _change(self, name: str, choice: Choice) -> tuple[Metrics, list[Entry]]:
        key = (name, choice)
        if key not in self._of_choice:
            self._of_choice[key] = self._compute_change(self.layers[name], choice)
        return self._of_choice[key]

    def _compute_change(self, layer: Layer, choice: Choice) -> tuple[Metrics, list[Entry]]:
        if choice.rank is None:
            return Metrics(0, 0, 0), []
        kind = kind_named(choice.kind)
        cost = kind.cost(layer, choice.rank)
        new = [
            Entry(f"{layer.name}.{name}", shape, dtype)
            for name, shape, dtype in entries(kind.skeleton(layer, choice.rank))
        ]
        old = [e for n in ("weight", "bias") if (e := self._entries.get(f"{layer.name}.{n}")) is not None]
        change = file_bytes(new) - file_bytes(old)
        return Metrics(cost.params - layer.params, cost.flops - layer.flops, change), new
