"""What a user's data gives, read as a pair: inputs and targets.

Taken are pairs, and mappings that hold their targets as ``labels``, ``label``, ``targets`` or ``target``. Whatever else
comes needs a ``collate`` of the user's, a function that returns the pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..errors import RankfrontError
from .containers import parts_of, rebuilt, without
from .samples import count, told
from .structure import tensors_of

LABELS = ("labels", "label", "targets", "target")
"""The keys of the targets in a batch that is a mapping, and in a model's ``forward``; the first that is there."""

HINT = "say how it is read by Task(collate=function), which gets what the data gives and returns (inputs, targets)"


class Pair(NamedTuple):
    """Inputs and targets."""

    inputs: Any
    targets: Any


def paired(given: Any, *, columns: bool, collated: bool = False) -> Pair:
    """Return what the data gives as a pair.

    Args:
        given: a batch as it comes.
        columns: whether all its lists hold columns, as those that torch's own ``default_collate`` makes of tuples.
        collated: whether a ``collate`` of the user's returned it.

    Raises:
        RankfrontError: it is neither a pair nor a mapping with labels.
    """
    label = next((key for key in LABELS if key in given), None) if isinstance(given, Mapping) else None
    if isinstance(given, Mapping) and label is not None:
        inputs, targets = without(given, label), given[label]
    elif isinstance(given, tuple | list) and len(given) == 2 and not isinstance(given, PackedSequence):
        inputs, targets = given
    elif collated:
        raise RankfrontError(f"collate must return a pair (inputs, targets), but gave {told(given)}")
    else:
        raise RankfrontError(_refusal(given))
    check_dense((inputs, targets))
    if columns:
        inputs, targets = _as_columns(inputs), _as_columns(targets)
    else:
        inputs, targets = _by_sample(inputs, targets)
    return Pair(inputs, targets)


def check_dense(item: Any) -> None:
    """Refuse sparse and nested tensors: no samples can be cut out of them.

    Raises:
        RankfrontError: a structure holds one.
    """
    for tensor in tensors_of(item):
        if tensor.is_nested:
            raise RankfrontError(
                "data must hold dense tensors, but one is nested: give a DataLoader that pads its samples"
            )
        if tensor.layout is not torch.strided:
            layout = str(tensor.layout).removeprefix("torch.")
            raise RankfrontError(f"data must hold dense tensors, but one is {layout}: give tensor.to_dense()")


def is_sample(given: Any) -> bool:
    """Return whether a pair, or a mapping with labels, is a single sample.

    Its target is a number, or input and target are both vectors, of different lengths.
    """
    if isinstance(given, Mapping):
        return _is_number(next((given[key] for key in LABELS if key in given), None))
    if len(given) != 2:
        return False
    vectors = all(getattr(item, "ndim", None) == 1 for item in given)
    return _is_number(given[1]) or (vectors and len(given[0]) != len(given[1]))


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float) or getattr(item, "ndim", None) == 0


def _refusal(given: Any) -> str:
    if isinstance(given, Mapping):
        return f"a batch that is a mapping must hold its targets as {', '.join(LABELS)}, but is {told(given)}: {HINT}"
    alone = isinstance(given, Tensor) or (isinstance(given, tuple | list) and len(given) == 1)
    hint = "of an autoencoder, say Task(collate=lambda x: (x, x)); else " if alone else ""
    return f"a batch must be a pair (inputs, targets), but the data gave {told(given)}: {hint}{HINT}"


def _as_columns(item: Any) -> Any:
    """Return the structure with tuples in place of lists, but for lists of texts: each part has all samples."""
    parts = parts_of(item)
    if parts is None or (type(item) is list and all(isinstance(part, str | bytes) for part in item)):
        return item
    values = [_as_columns(part) for part in parts.values()]
    return tuple(values) if type(item) is list else rebuilt(item, values)


def _by_sample(inputs: Any, targets: Any) -> tuple[Any, Any]:
    """Return both as they are but for tuples of one item a sample, which become lists, and lists of columns, tuples.

    Whether a sequence holds columns is seen from the targets: columns have as many samples as there are targets.
    """
    sequences = [type(item) in (tuple, list) for item in (inputs, targets)]
    if not any(sequences):
        return inputs, targets
    if all(sequences):
        shared = _width(inputs)
        columns = shared is not None and shared == _width(targets)
        described = any(isinstance(one, Mapping) for one in targets)  # boxes, labels … of each image
        samples = (described or not columns) and len(inputs) == len(targets)
        return _sequence(inputs, samples), _sequence(targets, samples)
    sequence, other = (inputs, targets) if sequences[0] else (targets, inputs)
    n, width = count(other), _width(sequence)
    samples = n == len(sequence) and (width != n or type(sequence) is list)
    found = _sequence(sequence, samples)
    return (found, targets) if sequences[0] else (inputs, found)


def _width(items: Any) -> int | None:
    """Return the number of samples in every part of a sequence; None where they differ, or a part tells none."""
    widths = {count(one) for one in items}
    return widths.pop() if len(widths) == 1 else None


def _sequence(items: Any, samples: bool) -> Any:
    return list(items) if samples else tuple(items)
