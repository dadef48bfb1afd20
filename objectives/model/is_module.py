"""Whether what is given for a model is one, and what else it may be."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ..described import shown
from ..errors import RankfrontError


def check_model(model: object) -> None:
    """Raise `RankfrontError` for what is no trained network, saying what to give in its place."""
    if not isinstance(model, nn.Module):
        raise RankfrontError(f"model must be a torch.nn.Module, but got {shown(model)}{_hint(model)}")


def _hint(model: object) -> str:
    if isinstance(model, type) and issubclass(model, nn.Module):
        return f": make a network of it, {model.__name__}(…), with its trained weights"
    if isinstance(model, Mapping) and any(isinstance(value, Tensor) for value in model.values()):
        return ", a state dict: make the network and give it these weights by load_state_dict"
    if isinstance(model, str) or hasattr(model, "__fspath__"):
        return ", a path: load the network from it first"
    return ": wrap it in a Module whose forward calls it" if callable(model) else ""
