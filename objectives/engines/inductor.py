"""``inductor``: ``torch.compile``; it needs a C++ compiler."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, final

import torch
from torch import Tensor, nn

from ..boundary import sentence
from ..data.calling import Inputs, called_with
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
        compiled = torch.compile(_by_itself(model), dynamic=False)
        arguments, keywords = called_with(model, inputs)

        def run() -> list[Tensor]:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                return outputs_of(compiled(*arguments, **keywords))

        try:
            run()
        except Exception as error:  # whatever compilers raise
            raise RankfrontError(f"torch.compile does not take this network: {sentence(error)}") from error
        return run


def _by_itself(model: nn.Module) -> Callable[..., Any]:
    """Return a function that calls a network, of a code object of its own.

    ``torch.compile`` keeps what it compiled by code object: all networks of one class would share one, which is looked
    through at every call, and holds so few that the rest is not compiled.
    """

    def call(*arguments: Any, **keywords: Any) -> Any:
        return model(*arguments, **keywords)

    return FunctionType(call.__code__.replace(), globals(), call.__name__, None, call.__closure__)


ENGINE = Inductor()
