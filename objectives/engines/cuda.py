"""``cuda``: PyTorch as it is, on an NVIDIA GPU. See `cuda_inductor` for ``torch.compile`` there."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ..boundary import sentence
from ..data.calling import Inputs
from ..data.structure import place
from ..errors import RankfrontError
from ..model.copying import copied
from .eager import ENGINE as EAGER
from .engine import InPyTorch, Runner


@final
class OnDevice(InPyTorch):
    """Runs in another engine of PyTorch's, on a device that is not the CPU; a run ends when the device is done.

    Args:
        name: see `Engine`.
        label: see `Engine`.
        device: where networks and inputs are copied to before any run.
        engine: what runs them there.
    """

    def __init__(self, name: str, label: str, device: str, engine: InPyTorch) -> None:
        self.name, self.label, self.device, self._engine = name, label, device, engine

    def check(self) -> None:
        """Raise `RankfrontError` where there is no such device."""
        if not torch.get_device_module(self.device).is_available():
            raise RankfrontError(
                f"engine {self.name} needs an NVIDIA GPU that PyTorch reaches by CUDA, and there is none here: "
                "give another engine"
            )

    def runner(self, model: nn.Module, inputs: Inputs, threads: int) -> Runner:
        """Return what runs a copy of the network on a copy of the inputs, both on the device."""
        self.check()
        synchronize = torch.get_device_module(self.device).synchronize

        def run_to_the_end() -> list[Tensor]:
            found = run()
            synchronize()
            return found

        try:
            run = self._engine.runner(copied(model).to(self.device), place(inputs, self.device), threads)
            run_to_the_end()
        except RankfrontError:
            raise
        except Exception as error:  # whatever PyTorch or the network raises there
            raise RankfrontError(f"{self.label} does not take this network: {sentence(error)}") from error
        return run_to_the_end


ENGINE = OnDevice("cuda", "PyTorch on CUDA", "cuda", EAGER)
