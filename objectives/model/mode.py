"""Training and eval mode of models whose own ``train()`` may return nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def in_eval(model: Model) -> Model:
    """Set a model to eval mode and return it: a ``train()`` of the user's, which ``eval()`` calls, may return None."""
    model.eval()
    return model


@contextlib.contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Set training or eval mode, by the model's own ``train()``, in the context; restore every module's own mode."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.train(training)
        yield
    finally:
        for module, before in modes.items():
            module.training = before


@contextlib.contextmanager
def constant(model: nn.Module) -> Iterator[None]:
    """Set eval mode, and have no gradients of parameters; at the end both are as they were."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with in_mode(model, training=False):
        for parameter in trained:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)
