"""What every plan costs, known without building it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from ..data.split import Inputs
from ..export.int8 import entries_of_quantized
from ..kinds.kind import Cost
from ..kinds.registry import kind_named
from ..model.layer import Layer, Layers
from ..plan import Choice, Plan
from .count import Entry, Metrics, count, entries, file_bytes


class Costs:
    """The dense model's cost, and what each layer's choice changes of it; exact for every plan."""

    def __init__(self, model: nn.Module, layers: Layers, example: Inputs, int8: bool = False) -> None:
        self.dense = count(model, example)
        self.int8 = int8
        self.layers = {layer.name: layer for layer in layers}
        self._entries = {entry.name: entry for entry in self._saved(model)}
        self._old_entries = {name: self._dense_entries(layer) for name, layer in self.layers.items()}
        self._new_entries: dict[tuple[str, Choice], list[Entry]] = {}
        self._changes: dict[tuple[str, Choice], Cost] = {}
        self.start = self.of(Plan({}))
        """What the model costs with every layer dense: less bytes than the dense model where it ships as int8."""

    def of(self, plan: Plan) -> Metrics:
        """Return what the compressed network costs: equal to `metrics.count` of it, bytes as it is saved."""
        params, flops = self.dense.params, self.dense.flops
        tensors = dict(self._entries)
        for name, choice in plan.items():
            change = self._change(self.layers[name], choice)
            params += change.params
            flops += change.flops
            for entry in self._old_entries[name]:
                del tensors[entry.name]
            tensors.update((entry.name, entry) for entry in self._new(name, choice))
        return Metrics(params, flops, file_bytes(tensors.values()))

    def smallest(self, choices: Mapping[str, Sequence[Choice]]) -> Metrics:
        """Return the least of each metric that any plan reaches, given every layer's choices."""
        plans = []
        for column in range(len(Metrics._fields)):
            picks = {}
            for name, options in choices.items():
                changes = self.changes(self.layers[name], options)
                picks[name] = min(zip(changes, options, strict=True), key=lambda pair: pair[0][column])[1]
            plans.append(self.of(Plan(picks)))
        return Metrics(*(plan[column] for column, plan in enumerate(plans)))

    def changes(self, layer: Layer, choices: Sequence[Choice]) -> list[Metrics]:
        """Return what each choice for one layer adds to `start` (negative: saves).

        Bytes are those of the parameters, and of the header of the layer's largest factorization: a whole
        file differs from the sum by a few bytes.
        """
        if self.int8 and isinstance(layer.module, nn.Linear):
            dense_bytes = file_bytes(self._old_entries[layer.name])
            added = [(self._change(layer, c), file_bytes(self._new(layer.name, c)) - dense_bytes) for c in choices]
            return [Metrics(cost.params, cost.flops, more) for cost, more in added]
        itemsize = layer.module.weight.element_size()
        old = file_bytes(self._old_entries[layer.name]) - itemsize * layer.params
        headers: dict[str, int] = {}
        rows = []
        for choice in reversed(choices):
            change = self._change(layer, choice)
            header = 0
            if choice.rank is not None:
                if choice.kind not in headers:
                    new = kind_named(choice.kind).cost(layer, choice.rank).params
                    headers[choice.kind] = file_bytes(self._new(layer.name, choice)) - itemsize * new - old
                header = headers[choice.kind]
            rows.append(Metrics(change.params, change.flops, itemsize * change.params + header))
        return rows[::-1]

    def kept(self, plan: Plan) -> dict[str, float]:
        """Return the share of each layer's parameters that a plan keeps."""
        return {
            name: 1 + self._change(layer := self.layers[name], choice).params / layer.params
            for name, choice in plan.items()
        }

    def _change(self, layer: Layer, choice: Choice) -> Cost:
        """Return what a choice adds in parameters and flops."""
        if choice.rank is None:
            return Cost(0, 0)
        if (layer.name, choice) not in self._changes:
            cost = kind_named(choice.kind).cost(layer, choice.rank)
            self._changes[layer.name, choice] = Cost(cost.params - layer.params, cost.flops - layer.flops)
        return self._changes[layer.name, choice]

    def _dense_entries(self, layer: Layer) -> list[Entry]:
        """Return the dense layer's tensors in a saved file."""
        names = (under(path, part.name) for path in layer.paths for part in self._saved(layer.module))
        return [self._entries[n] for n in names if n in self._entries]

    def _new(self, name: str, choice: Choice) -> list[Entry]:
        """Return the factorized layer's tensors in a saved file."""
        if choice.rank is None:
            return self._old_entries[name]
        if (name, choice) not in self._new_entries:
            module = kind_named(choice.kind).skeleton(self.layers[name], choice.rank)
            self._new_entries[name, choice] = [Entry(under(name, n), s, d) for n, s, d in self._saved(module)]
        return self._new_entries[name, choice]

    def _saved(self, model: nn.Module) -> list[Entry]:
        """Return the tensors that a saved file of this model holds."""
        return entries_of_quantized(model) if self.int8 else entries(model)


def under(path: str, name: str) -> str:
    """Return a tensor's name in the state dict, given its module's path; the root's is empty."""
    return f"{path}.{name}" if path else name
