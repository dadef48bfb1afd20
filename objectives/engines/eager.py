"""``eager``: PyTorch as it is."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ..data.calling import Inputs, apply
from ..data.structure import tensors_of
from .engine import InPyTorch, Runner


@final
class Eager(InPyTorch):
    """Runs the modules one by one."""

    name = "eager"
    label = "PyTorch eager"

    def runner(self, model: nn.Module, inputs: Inputs, threads: int) -> Runner:
        """Return what calls the model."""

        def run() -> list[Tensor]:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                return outputs_of(apply(model, inputs))

        return run


def outputs_of(outputs: object) -> list[Tensor]:
    """Return the floating-point tensors among a model's outputs."""
    return [tensor for tensor in tensors_of(outputs) if tensor.is_floating_point()]


ENGINE = Eager()
