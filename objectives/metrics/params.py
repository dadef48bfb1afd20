"""``params``: the number of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from .amounts import SI
from .metric import Metric, Predictor, Subject

if TYPE_CHECKING:
    from torch import nn

    from ..model.layer import Layer


@final
class Params(Metric):
    """Elements of all parameters; one that is used in several places counts once."""

    name = "params"
    label = "params"
    units = SI
    example = "params=5% or params=200K"

    def measure(self, subject: Subject) -> int:
        """Return the number of parameters."""
        return count_params(subject.model)

    def predictor(self, subject: Subject, layers: Mapping[str, Layer]) -> Predictor:
        """Return the kinds' cost formulas, summed."""
        from .additive import Additive

        return Additive(self.measure(subject), layers, lambda layer, cost: cost.params - layer.params)


def count_params(model: nn.Module) -> int:
    """Return the number of parameters; one that is used in several places counts once."""
    return sum(p.numel() for p in model.parameters())


PARAMS = Params()
