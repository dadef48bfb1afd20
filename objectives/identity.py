"""Recognise a study's model, data, loss and score by their content, never by names or lengths.

Weights, and data given as tensors, are hashed whole. Of a Dataset or DataLoader at most 64 evenly spaced samples are
compared, so a change of any other sample is not seen. On these samples, the outputs of the dense model and the values
of loss and score are compared, too. A value that changes between two evaluations is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .data.batch import Batch
from .data.content import fingerprints_of
from .data.probe import SAMPLES, Probe, read_probe
from .data.randomness import fixed_seed
from .data.split import Split
from .data.structure import apply, mapped, place
from .identity_keys import ARCHITECTURE, CONTENT, SPLITS, WEIGHTS
from .io.fingerprint import fingerprint
from .io.sketch import Sketch, agree, common, sketch
from .metrics.whole_split import joined

if TYPE_CHECKING:
    from .task import Task

ALL_INPUTS, ALL_DATA = "all inputs", "all inputs and targets"
"""Entries of a split of tensors: hashes of all its inputs, and of all its inputs and targets."""

FLOP_LIMIT = 5e10
"""FLOP limit of one pass over the probe; of larger networks every k-th sample is used."""

LEAST_PASSED = 8
"""Least number of samples of the probe that are passed through the network, whatever the FLOP limit."""


def identity_of(task: Task, dense: nn.Module, flops: float = 0.0, batch_size: int = SAMPLES) -> dict[str, Any]:
    """Return a task's identity, as plain data for JSON.

    Args:
        task: the task.
        dense: its model, as it is factorized, in eval mode.
        flops: operations of the model for one input; 0 if unknown.
        batch_size: largest batch that is passed through it.

    Returns:
        ``dense model``: a hash of the weights; ``dense architecture``: one of their names and shapes.
        ``train data`` …: the hash of a split of tensors, for old studies.
        ``content``: by split what its samples hold; under ``outputs``, ``loss`` and ``score`` the values on the probe.
    """
    splits: dict[str, Split] = {name: split for name in SPLITS if (split := getattr(task, name)) is not None}
    probes = {name: read_probe(split) for name, split in splits.items()}
    passed = SAMPLES if flops <= 0 else max(LEAST_PASSED, min(SAMPLES, int(FLOP_LIMIT / flops)))
    hashes = {name: fingerprints_of(split) for name, split in splits.items()}
    content: dict[str, Any] = {name: _data(splits[name], probes[name], hashes[name]) for name in splits}
    fixed = [name for name in ("train", "validation") if (probe := probes[name]) is not None and probe.fixed]
    batches = {name: _thinned(probe.batch, passed) for name in fixed if (probe := probes[name]) is not None}
    outputs = {
        name: _computed(lambda batch=batch: _outputs(dense, batch, batch_size)) for name, batch in batches.items()
    }
    content["outputs"] = {name: known for name, (_, known) in outputs.items()}
    if fixed:
        functions = (
            ("loss", fixed[0], task.criterion),
            ("score", fixed[-1], lambda ours, theirs: task.score.of([(ours, theirs)])),
        )
        for name, split, function in functions:
            ours, targets = outputs[split][0], batches[split].targets
            content[name] = {split: _computed(functools.partial(_values, function, ours, targets))[1]}
        if task.loss == "model":  # it belongs to the model, whose outputs without labels hold none
            content["loss"] = {fixed[0]: sketch("model")}
    return {
        **hashes_of(task.model),
        # Old studies hold the augmentation's name in this hash, which is no content.
        **{f"{name} data": known[-1] for name, known in hashes.items() if known and splits[name].augment is None},
        CONTENT: content,
    }


def hashes_of(model: nn.Module) -> dict[str, str]:
    """Return the hashes of a dense model's weights, and of their names and shapes, as an identity holds them."""
    state = model.state_dict()
    return {
        WEIGHTS: fingerprint(state)[:16],
        ARCHITECTURE: fingerprint({}, [(name, list(getattr(t, "shape", ()))) for name, t in state.items()])[:16],
    }


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """List what differs; empty if nothing does.

    Only entries of both are compared, so that a study that was stored by an older version still opens. What follows
    from another difference, such as the outputs on other inputs, is not listed.
    """
    found: list[str] = []
    old, new = (known if isinstance(known := one.get(CONTENT), dict) else {} for one in (stored, asked))
    other_weights = _differ(stored, asked, WEIGHTS)
    if other_weights:
        found.append("the model's architecture" if _differ(stored, asked, ARCHITECTURE) else "the model's weights")
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
    inputs_differ, differ = (_differ(stored, asked, key) for key in (ALL_INPUTS, ALL_DATA))
    whole_differs = inputs_differ if part == "inputs" else differ and not inputs_differ
    return whole_differs or not agree(stored.get(part), asked.get(part))


def _data(split: Split, probe: Probe | None, hashes: tuple[str, str, str] | None) -> dict[str, Sketch]:
    """Return a split's content: its hashes, where it is one of tensors, and sketches of its probe."""
    known: dict[str, Sketch] = {}
    if hashes is not None:
        known = {ALL_INPUTS: hashes[0], ALL_DATA: hashes[1]}
    if probe is not None:
        known |= {"inputs": probe.inputs, "targets": probe.targets}
        if split.augment is not None and probe.fixed:
            augment, inputs = split.augment, probe.batch.inputs
            known["augmented"] = _computed(lambda: augment(inputs, torch.Generator().manual_seed(0)))[1]
    return known


@torch.no_grad()
def _computed(function: Callable[[], Any]) -> tuple[Any, Sketch]:
    """Return a function's value, and a sketch of what is the same when it is called again; Nones where it fails."""
    try:
        with fixed_seed(0):
            value = function()
        with fixed_seed(0):
            again = function()
        return value, common(sketch(value), sketch(again))
    except Exception:  # whatever the user's code raises: training and scoring will say it
        return None, None


def _thinned(batch: Batch, samples: int) -> Batch:
    return batch[:: -(-batch.samples // samples)]


def _outputs(dense: nn.Module, batch: Batch, batch_size: int) -> Any:
    device = next((p.device for p in dense.parameters()), torch.device("cpu"))
    parts = batch.parts(-(-batch.samples // batch_size))
    passed = [place(apply(dense, place(part.inputs, device)), "cpu") for part in parts]
    return joined(passed, [part.samples for part in parts])


def _values(function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> Tensor | Any:
    """Return a loss or score of the outputs, with their own targets and with those of the next sample.

    A perfect model hides the loss's form, so shifted targets are tried, too.
    """
    values = [function(outputs, targets), function(_rolled(outputs), targets)]
    return torch.tensor([float(value) for value in values], dtype=torch.float64)


def _rolled(item: Any) -> Any:
    return mapped(item, lambda tensor: tensor.roll(1, 0) if tensor.ndim else tensor)
