"""What errors of single layers really change, measured: see `calibration.response`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .calibration.response import Response, tries
from .data.batch import Batch
from .data.randomness import fixed_seed
from .data.structure import apply
from .device import to_device
from .errors import RankfrontError
from .io.files import read_json, write_json
from .io.fingerprint import fingerprint
from .kinds.cache import VERSION
from .kinds.decompositions import Decompositions
from .kinds.error import FLOOR, rounded
from .model.mode import constant
from .plan import Choice, Plan
from .progress import CountCallback

PASSES = 4
"""All tries together take as many passes of a sample as this many of all calibration samples: twice what moments do."""

BOUNDS = (1e-2, 1e2)
"""A ratio is taken for at least and at most this."""

Change = Callable[[Any, Any, Any], Tensor]
"""``change(ours, dense, targets)`` → the change of outputs, summed over the samples of a batch (see `sensitivity`)."""


@torch.no_grad()
def responses(
    dense: nn.Module,
    decompositions: Decompositions,
    batches: Sequence[Batch],
    change: Change,
    calibrated: int,
    progress: CountCallback,
) -> dict[str, Response]:
    """Return what was measured of every layer with options; one that nothing was to be measured of is left out.

    Args:
        dense: the dense model.
        decompositions: of its layers, in the unit of the network's outputs.
        batches: held-out samples, where the model is.
        change: of what errors are measured by.
        calibrated: number of calibration samples.
        progress: called with the number of layers done, and of all.
    """
    names = list(decompositions.options)
    near, samples = tries(len(names), PASSES * calibrated)
    few = _first(batches, samples)
    expected = [_outputs(dense, batch) for batch in few]
    found: dict[str, Response] = {}
    for done, name in enumerate(names):
        progress(done, len(names))
        layer, whole = decompositions.layers[name], decompositions.mean_importance * decompositions.importance[name]
        changes: dict[float, float] = {}
        for choice in _near(near, decompositions, name):
            model = to_device(decompositions.in_place(dense, Plan({name: choice})), layer.module.weight.device)
            total = sum(
                float(change(_outputs(model, batch), theirs, batch.targets))
                for batch, theirs in zip(few, expected, strict=True)
            )
            measured = total / sum(batch.samples for batch in few) / whole
            if math.isfinite(measured):
                changes[decompositions.error(layer, choice)] = measured
        if changes:
            found[name] = response_of(changes)
    progress(len(names), len(names))
    return found


def response_of(changes: Mapping[float, float]) -> Response:
    """Return the response of changes by the error that they were measured at, whose predictions are the errors.

    A larger error never changes less: where few samples say so, the change at the smaller one is taken.
    """
    errors = sorted(changes)
    grown = itertools.accumulate((changes[error] for error in errors), max)
    ratios = (change / error for error, change in zip(errors, grown, strict=True))
    return Response(tuple(errors), tuple(rounded(min(max(ratio, BOUNDS[0]), BOUNDS[1])) for ratio in ratios))


def kept_responses(
    folder: Path | None, key: str, decompositions: Decompositions, measure: Callable[[], dict[str, Response]]
) -> dict[str, Response]:
    """Return what ``measure`` returns; with a folder, of a file there where the same was measured before."""
    if folder is None:
        return measure()
    options = [[name, *map(str, of)] for name, of in decompositions.options.items()]
    path = folder / f"responses-{fingerprint({}, VERSION, key, options)[:24]}.json"
    try:
        return {name: Response(*map(tuple, kept)) for name, kept in read_json(path).items()}
    except (RankfrontError, TypeError, OSError):
        found = measure()
        write_json(path, found)
        return found


def _near(errors: Sequence[float], decompositions: Decompositions, name: str) -> list[Choice]:
    """Return a layer's options whose errors are nearest to these, none twice."""
    layer = decompositions.layers[name]
    known = [(decompositions.error(layer, choice), choice) for choice in decompositions.options[name]]
    tried = [(error, choice) for error, choice in known if error > FLOOR]
    found = [min(tried, key=lambda one: abs(math.log(one[0] / error)))[1] for error in errors if tried]
    return list(dict.fromkeys(found))


def _first(batches: Sequence[Batch], samples: int) -> list[Batch]:
    few: list[Batch] = []
    for batch in batches:
        left = samples - sum(each.samples for each in few)
        if left > 0:
            few.append(batch if batch.samples <= left else batch[:left])
    return few


def _outputs(model: nn.Module, batch: Batch) -> Any:
    with constant(model), fixed_seed(0):
        return apply(model, batch.inputs)
