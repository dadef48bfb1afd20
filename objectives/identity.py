"""What a study's model, data, loss and score are known by: their content, never their names or lengths.

All is read off a probe of a few samples a split: the samples themselves, what the dense model computes on them, and
what loss and score make of that. Weights, and data given as tensors, are hashed whole. What is not the same when it is
computed twice is not known, and counts for nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .data.batch import Batch
from .data.probe import SAMPLES, Probe, read_probe
from .data.randomness import seeded
from .data.split import Split
from .data.structure import apply, length, place
from .io.fingerprint import fingerprint
from .io.sketch import Sketch, agree, common, sketch

if TYPE_CHECKING:
    from .task import Task

SPLITS = {"train": "the training data", "validation": "the validation data", "test": "the test data"}

WEIGHTS = "dense model"
CONTENT = "content"
KEYS = frozenset({WEIGHTS, CONTENT, "loss", "score", *(f"{name} data" for name in SPLITS)})
"""Entries of a study's identity that `differences` answers for; ``loss`` and ``score`` are names, in old studies."""

FLOPS = 5e10
"""Operations of one pass over a probe: of a large network's probe only every second, third … sample is passed."""

FEWEST = 8
"""So many samples are passed however large the network is."""


def identity_of(task: Task, dense: nn.Module, flops: float = 0.0) -> dict[str, Any]:
    """Return what a task is known by, as plain data for JSON.

    Args:
        task: the task.
        dense: its model, as it is factorized, in eval mode.
        flops: operations of the model for one input, where they are known.

    Returns:
        ``dense model``: a hash of the weights. ``train data`` …: a split's hash as in studies of old. ``content``: by
        split what its samples hold, and under ``outputs``, ``loss`` and ``score`` what these are on the probe.
    """
    splits: dict[str, Split] = {name: split for name in SPLITS if (split := getattr(task, name)) is not None}
    probes = {name: read_probe(split) for name, split in splits.items()}
    passed = SAMPLES if flops <= 0 else max(FEWEST, min(SAMPLES, int(FLOPS / flops)))
    content: dict[str, Any] = {name: _data(split, probes[name]) for name, split in splits.items()}
    fixed = [name for name in ("train", "validation") if (probe := probes[name]) is not None and probe.fixed]
    batches = {name: _thinned(probe.batch, passed) for name in fixed if (probe := probes[name]) is not None}
    outputs = {name: _computed(lambda batch=batch: _outputs(dense, batch)) for name, batch in batches.items()}
    content["outputs"] = {name: known for name, (_, known) in outputs.items()}
    if fixed:
        judges = (
            ("loss", fixed[0], task.loss or nn.functional.cross_entropy),
            ("score", fixed[-1], lambda ours, theirs: task.score.of([(ours, theirs)])),
        )
        for name, split, function in judges:
            ours, targets = outputs[split][0], batches[split].targets
            content[name] = {split: _computed(functools.partial(_judged, function, ours, targets))[1]}
    return {
        WEIGHTS: fingerprint(task.model.state_dict())[:16],
        **{f"{name} data": split.fingerprint() for name, split in splits.items()},
        CONTENT: content,
    }


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return what of two identities is not the same, each in a few words; empty where they may be one study's.

    Only what both know is compared, so that a study that was stored by an older version still opens. What follows
    from another difference, such as the outputs on other inputs, is not said again.
    """
    found: list[str] = []
    old, new = (known if isinstance(known := one.get(CONTENT), dict) else {} for one in (stored, asked))
    other_weights = _differ(stored, asked, WEIGHTS)
    if other_weights:
        found.append("the model's weights")
    same: set[str] = set()
    for name, words in SPLITS.items():
        if name in old and name in new:
            parts = [part for part in ("inputs", "targets") if _data_differ(old[name], new[name], part)]
            found += [f"{words}'s {part}" for part in parts]
            if not agree(old[name].get("augmented"), new[name].get("augmented")) and "inputs" not in parts:
                found.append(f"what the augmentation makes of {words}")
            if not parts:
                same.add(name)
        elif _differ(stored, asked, f"{name} data"):
            found.append(words)
    if other_weights:
        return found

    def differs(name: str) -> bool:
        return any(not agree(old.get(name, {}).get(split), new.get(name, {}).get(split)) for split in same)

    if differs("outputs"):
        return [*found, "what the model computes on the same inputs (its weights are the same)"]
    return found + [
        f"what the {name} returns for the same outputs and targets" for name in ("loss", "score") if differs(name)
    ]


def _differ(stored: Mapping[str, Any], asked: Mapping[str, Any], key: str) -> bool:
    return key in stored and key in asked and stored[key] != asked[key]


def _data_differ(stored: Mapping[str, Any], asked: Mapping[str, Any], part: str) -> bool:
    whole = f"all {part}"
    return _differ(stored, asked, whole) or not agree(stored.get(part), asked.get(part))


def _data(split: Split, probe: Probe | None) -> dict[str, Sketch]:
    """Return what a split is known by."""
    known: dict[str, Sketch] = {}
    if isinstance(split.source, tuple):
        for part, tensor in zip(("inputs", "targets"), split.source, strict=True):
            known[f"all {part}"] = fingerprint({"": tensor})[:16]
    if probe is not None:
        known |= {"inputs": probe.inputs, "targets": probe.targets}
        if split.augment is not None and probe.fixed:
            augment, inputs = split.augment, probe.batch.inputs
            known["augmented"] = _computed(lambda: augment(inputs, torch.Generator().manual_seed(0)))[1]
    return known


@torch.no_grad()
def _computed(function: Callable[[], Any]) -> tuple[Any, Sketch]:
    """Return what a function returns, and what of it is the same when it is called again; Nones where it fails."""
    try:
        with seeded(0):
            value = function()
        with seeded(0):
            again = function()
        return value, common(sketch(value), sketch(again))
    except Exception:  # whatever the user's code raises: training and scoring will say it
        return None, None


def _thinned(batch: Batch, samples: int) -> Batch:
    return batch[:: -(-length(batch.targets) // samples)]


def _outputs(dense: nn.Module, batch: Batch) -> Any:
    device = next((p.device for p in dense.parameters()), torch.device("cpu"))
    return place(apply(dense, place(batch.inputs, device)), "cpu")


def _judged(function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> Tensor | Any:
    """Return a loss or score of the outputs, and of each sample's outputs with the next one's targets.

    A model that makes no mistake tells little of a loss; with the wrong targets it makes many.
    """
    values = [function(outputs, targets), function(_rolled(outputs), targets)]
    return torch.tensor([float(value) for value in values], dtype=torch.float64)


def _rolled(item: Any) -> Any:
    if isinstance(item, Tensor):
        return item.roll(1, 0) if item.ndim else item
    if isinstance(item, dict):
        return {key: _rolled(part) for key, part in item.items()}
    return tuple(_rolled(part) for part in item) if isinstance(item, tuple | list) else item
