"""Training and eval mode of models whose own ``train()`` may return nothing."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def in_eval(model: Model) -> Model:
    """Set a model to eval mode and return it: a ``train()`` of the user's, which ``eval()`` calls, may return None."""
    model.eval()
    return model
