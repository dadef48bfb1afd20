"""What a model gives: which tensor is its main output, where its classes are, what its own loss is.

Networks give a tensor, or a structure around it: Hugging Face's ``ModelOutput`` (``logits``, hidden states, a cache, a
loss), torchvision's ``OrderedDict`` with ``out`` and ``aux``, named tuples with auxiliary logits, ``(logits, hidden)``.
Losses and scores of the user's own get that structure as it is. The rules below serve the default ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..data.structure import parts_of
from ..described import a_type

NAMES = ("logits", "out")
"""A main output's names: Hugging Face's and torchvision's classifiers, torchvision's segmentation."""

IGNORED = -100
"""Targets of this class are not counted: torch's and Hugging Face's own default."""


def named_output(outputs: Any) -> Tensor | None:
    """Return the floating-point tensor of a structure that is called ``logits`` or ``out``; None if there is none."""
    parts = parts_of(outputs) or {}
    for name in NAMES:
        if isinstance(part := parts.get(name), Tensor) and part.is_floating_point():
            return part
    return None


def main_output(outputs: Any) -> Tensor | None:
    """Return the tensor that predicts; None where that is not plain.

    It is a tensor itself; in a structure what is called ``logits`` or ``out``; in any other tuple or list the first
    floating-point tensor that has dimensions (before it a loss may stand; what follows are hidden states or auxiliary
    outputs); in any other mapping the only one.
    """
    if isinstance(outputs, Tensor):
        return outputs
    named = named_output(outputs)
    if named is not None:
        return named
    found = [part for part in (parts_of(outputs) or {}).values() if _predicts(part)]
    if isinstance(outputs, tuple | list):
        return found[0] if found else None
    return found[0] if len(found) == 1 else None


def _predicts(part: Any) -> bool:
    return isinstance(part, Tensor) and part.is_floating_point() and part.ndim > 0


def labels_of(targets: Any) -> Any:
    """Return the labels among targets: themselves, or a mapping's ``labels``."""
    return targets["labels"] if isinstance(targets, Mapping) and "labels" in targets else targets


def class_dimension(outputs: Any, targets: Any) -> int:
    """Return which dimension of the main output holds the classes.

    It is the one that the targets lack: 1 for ``(N, classes, …)`` and ``(N, …)``, the form of torch's cross entropy;
    the last one for ``(N, T, classes)`` and ``(N, T)``, the form of language models. Where both or neither would do, it
    is the last one of three-dimensional ``logits`` in a structure (Hugging Face), else 1.

    >>> class_dimension(torch.zeros(8, 10, 5, 5), torch.zeros(8, 5, 5))
    1
    >>> class_dimension(torch.zeros(8, 5, 10), torch.zeros(8, 5))
    2
    """
    logits, labels = main_output(outputs), labels_of(targets)
    shape = () if logits is None else tuple(logits.shape)
    last = len(shape) - 1
    if isinstance(labels, Tensor) and len(shape) > 2:
        first_fits, last_fits = tuple(labels.shape) == (shape[0], *shape[2:]), tuple(labels.shape) == shape[:-1]
        if first_fits != last_fits:
            return 1 if first_fits else last
    structured = not isinstance(outputs, Tensor) and "logits" in (parts_of(outputs) or {})
    return last if structured and len(shape) == 3 else min(1, max(0, last))


def by_position(outputs: Any, targets: Any) -> tuple[Tensor, Tensor] | None:
    """Return logits ``(N, …, classes)`` and labels ``(N, …)``; None where the two do not fit together so."""
    logits, labels = main_output(outputs), labels_of(targets)
    if logits is None or logits.ndim < 2 or not isinstance(labels, Tensor):
        return None
    logits = logits.movedim(class_dimension(outputs, targets), -1)
    return (logits, labels) if logits.shape[:-1] == labels.shape else None


def own_loss(outputs: Any) -> Tensor | None:
    """Return the loss that a model gave itself; None where it gave none.

    It is what is called ``loss``; a tuple's first tensor, where that is a single number; the sum of a mapping that
    holds nothing but single numbers (torchvision's detection models); or a single number itself.
    """
    if _is_number(outputs):
        return outputs
    parts = parts_of(outputs) or {}
    if (named := parts.get("loss")) is not None:
        return named if isinstance(named, Tensor) else None
    if isinstance(outputs, Mapping) and parts and all(map(_is_number, parts.values())):
        return torch.stack([part.reshape(()) for part in parts.values()]).sum()
    first = next(iter(parts.values()), None)
    return first if isinstance(outputs, tuple | list) and _is_number(first) else None


def _is_number(part: Any) -> bool:
    return isinstance(part, Tensor) and part.is_floating_point() and part.numel() == 1 and part.ndim < 2


def described(item: Any) -> str:
    """Return what a structure is, by type, names and shapes, as errors show it.

    >>> described({"logits": torch.zeros(2, 3), "loss": None})
    'a dict of logits (2, 3), loss None'
    """
    if isinstance(item, Tensor):
        return str(tuple(item.shape))
    parts = parts_of(item)
    if parts is None:
        return a_type(item)
    inside = ", ".join(
        f"{name} {tuple(part.shape) if isinstance(part, Tensor) else None if part is None else type(part).__name__}"
        for name, part in list(parts.items())[:6]
    )
    more = ", …" if len(parts) > 6 else ""
    return f"{a_type(item)} of {inside}{more}" if inside else f"an empty {type(item).__name__}"
