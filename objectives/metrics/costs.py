"""What every plan costs, known without building it: each metric's predictor, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..data.structure import Inputs
from ..export.int8 import entries_of_quantized
from ..io.saved import Entry, entries
from ..model.finding import Layers
from ..model.layer import Layer
from ..model.trace import Several
from ..plan import Choice, Plan
from .metric import Predictor, Subject
from .registry import SIZE, counted, measure
from .values import Metrics


class Costs:
    """The dense model's costs, and those of every plan in the metrics that can be known before building."""

    def __init__(self, model: nn.Module, layers: Layers, example: Inputs | Several, int8: bool = False) -> None:
        self.dense = measure(model, example)
        """Of the dense model as it is: every metric."""
        self.layers = {layer.name: layer for layer in layers}
        self.saved: Callable[[nn.Module], Sequence[Entry]] = entries_of_quantized if int8 else entries
        """Returns the tensors that the file of a network holds."""
        subject = Subject(model, example, self.saved)
        predictors = {name: metric.predictor(subject, self.layers) for name, metric in counted().items()}
        self._predictors: dict[str, Predictor] = {
            name: predictor for name, predictor in predictors.items() if predictor is not None
        }
        self.start = self.of(Plan({}))
        """Of the plan that leaves every layer dense: fewer bytes than the dense model where it ships as int8."""

    def predict(self, name: str, dense: float, predictor: Predictor) -> None:
        """Let a metric be known that no network is measured in by itself: the dense model's amount, and all plans'."""
        self._predictors[name] = predictor
        self.dense = Metrics({**self.dense, name: dense})
        self.start = self.of(Plan({}))

    def completed(self, measured: Metrics, plan: Plan) -> Metrics:
        """Return what was measured on a plan's network, and beside it what is only predicted."""
        more = {name: self.amount(name, plan) for name in self._predictors if name not in measured}
        return Metrics({**measured, **more})

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that are known before building."""
        return tuple(self._predictors)

    def of(self, plan: Plan) -> Metrics:
        """Return what the compressed network costs: equal to what is measured on it."""
        return Metrics({name: predictor.of(plan) for name, predictor in self._predictors.items()})

    def amount(self, metric: str, plan: Plan) -> float:
        """Return what the compressed network costs in one metric."""
        return self._predictors[metric].of(plan)

    def is_additive(self, metric: str) -> bool:
        """Return whether `changes` add up exactly over layers; else nearly."""
        return self._predictors[metric].additive

    def smallest(self, choices: Mapping[str, Sequence[Choice]]) -> Metrics:
        """Return the least of each metric that any plan costs, given every layer's choices."""
        least: dict[str, float] = {}
        for name, predictor in self._predictors.items():
            picks = {}
            for layer, options in choices.items():
                changes = predictor.changes(self.layers[layer], options)
                picks[layer] = min(zip(changes, range(len(options)), strict=True))[1]
            least[name] = predictor.of(Plan({layer: choices[layer][pick] for layer, pick in picks.items()}))
        return Metrics(least)

    def changes(self, layer: Layer, choices: Sequence[Choice]) -> NDArray[np.float64]:
        """Return what each choice for one layer adds to `start`: ``(choices, metrics)``, columns as in `names`."""
        columns = [predictor.changes(layer, choices) for predictor in self._predictors.values()]
        return np.array(columns, float).T

    def shares(self, plan: Plan) -> dict[str, float]:
        """Return the share of each layer's parameters that a plan keeps."""
        size = self._predictors[SIZE]
        return {
            name: 1 + size.changes(layer := self.layers[name], [choice])[0] / getattr(layer, SIZE)
            for name, choice in plan.items()
        }
