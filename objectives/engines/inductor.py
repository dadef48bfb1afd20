"""``inductor``: ``torch.compile``; it needs a C++ compiler."""

from __future__ import annotations

from typing import cast, final

import torch
from torch import Tensor, nn

from ..boundary import sentence
from ..data.calling import Inputs, apply
from ..errors import RankfrontError
from .eager import outputs_of
from .engine import InPyTorch, Runner


@final
class Inductor(InPyTorch):
    """Runs kernels that ``torch.compile`` made for these inputs."""

    name = "inductor"
    label = "torch.compile"

    def runner(self, model: nn.Module, inputs: Inputs, threads: int) -> Runner:
        """Return what calls the compiled model; it is compiled in the first call here."""
        torch.set_num_threads(threads)
        torch._dynamo.reset()  # of two networks of one architecture each is compiled by itself
        compiled = cast(nn.Module, torch.compile(model, dynamic=False))

        def run() -> list[Tensor]:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                return outputs_of(apply(compiled, inputs))

        try:
            run()
        except Exception as error:  # whatever compilers raise
            raise RankfrontError(f"torch.compile does not take this network: {sentence(error)}") from error
        return run


ENGINE = Inductor()
