"""``flops``: the number of operations for one input, 2 per multiply-add, by torch's own counter."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from .amounts import SI
from .metric import Metric, Predictor, Subject

if TYPE_CHECKING:
    from torch import nn

    from ..data.structure import Inputs
    from ..model.layer import Layer


@final
class Flops(Metric):
    """Operations of one forward pass on one input."""

    name = "flops"
    label = "flops (2 per multiply-add)"
    unit = "FLOP"
    units = SI
    example = "flops=30% or flops=10M"
    note = "Flops count 2 per multiply-add, on one input."

    def measure(self, subject: Subject) -> int:
        """Return torch's count of one forward pass."""
        return count_flops(subject.model, subject.example)

    def predictor(self, subject: Subject, layers: Mapping[str, Layer]) -> Predictor:
        """Return the kinds' cost formulas, summed."""
        from .additive import Additive

        return Additive(self.measure(subject), layers, lambda layer, cost: cost.flops - layer.flops)


def count_flops(model: nn.Module, example: Inputs) -> int:
    """Return torch's own count of operations for one input, on the meta device.

    Only there are fused attention and the like taken apart and counted. A model that cannot run there (its forward
    pass looks at values) is counted on its own device.
    """
    import torch

    from ..data.structure import place

    try:
        return _counted(copy.deepcopy(model).to("meta"), place(example, "meta"))
    except Exception:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        return _counted(copy.deepcopy(model), place(example, device))


def _counted(model: nn.Module, example: Inputs) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ..data.structure import apply

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        apply(model.eval(), example)
    return counter.get_total_flops()


FLOPS = Flops()
