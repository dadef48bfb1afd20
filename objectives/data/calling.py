"""How a model is called with a batch's inputs: by position, by keywords, or with the whole as one argument.

* A **mapping** is passed as keywords, without those that ``forward`` does not take (an index, a text). Where none of
  its keys is a parameter of ``forward``, it is passed as one argument.
* A **tuple** is passed by position, unless ``forward`` cannot take so many and can take one. A named tuple is passed
  whole to a ``forward`` that asks for one argument and for none by the name of a field.
* Anything else (a tensor, a list of images, a dataclass, a graph batch) is passed as it is.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.nn.utils.rnn import PackedSequence

from ..boundary import note_on

Inputs = Any
"""What a model is called with: a tensor, or any structure of tensors."""

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def apply(model: nn.Module, inputs: Inputs, **more: Any) -> Any:
    """Return what ``model`` gives for a batch's inputs; ``more`` are further keywords, such as its labels."""
    try:
        arguments, keywords = called_with(model, inputs, more)
        return model(*arguments, **keywords)
    except Exception as error:
        note_on(error, "the model", inputs, *filter(None, [more]))
        raise


def called_with(
    model: nn.Module, inputs: Inputs, more: Mapping[str, Any] = MappingProxyType({})
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what a model is called with by position and by keywords."""
    if isinstance(inputs, tuple) and not isinstance(inputs, PackedSequence):
        return (inputs if _by_position(model, inputs) else (inputs,)), dict(more)
    if isinstance(inputs, Mapping):
        if (keywords := _keywords(model, inputs, more)) is None:
            return (copy.copy(inputs),), dict(more)  # which it may empty
        return (), {**keywords, **more}
    return (inputs,), dict(more)


def left_out(model: nn.Module, inputs: Inputs) -> list[Any]:
    """Return the keys of a mapping that a model is not called with, as it does not take them."""
    keywords = _keywords(model, inputs, {}) if isinstance(inputs, Mapping) else None
    return [] if keywords is None else [key for key in inputs if key not in keywords]


def _keywords(model: nn.Module, inputs: Mapping[Any, Any], more: Mapping[str, Any]) -> Mapping[Any, Any] | None:
    """Return what is passed as keywords; None where the mapping is one argument.

    A mapping is whole where what ``forward`` takes of it does not suffice: then Python says what is missing.
    """
    if not all(isinstance(key, str) for key in inputs):
        return None
    signature = _signature(model)
    if signature is None or _binds(signature, **{**inputs, **more}):
        return inputs
    taken = {key: value for key, value in inputs.items() if key in signature.parameters}
    if taken:
        return taken if _binds(signature, **{**taken, **more}) else inputs
    return None if _binds(signature, inputs, **more) else inputs


def _by_position(model: nn.Module, inputs: tuple[Any, ...]) -> bool:
    signature = _signature(model)
    if signature is None:
        return True
    if not _binds(signature, *inputs):
        return not _binds(signature, inputs)
    fields = getattr(inputs, "_fields", ())
    required = [p for p in signature.parameters.values() if p.default is p.empty and p.kind in _BY_POSITION]
    return not fields or len(required) != 1 or len(fields) == 1 or required[0].name in fields


def _signature(model: nn.Module) -> inspect.Signature | None:
    try:
        return inspect.signature(model.forward)
    except (TypeError, ValueError):  # of compiled code
        return None


def _binds(signature: inspect.Signature, *arguments: Any, **keywords: Any) -> bool:
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True
