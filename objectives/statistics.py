"""What layers are decomposed by: moments of what passes them, and what errors in their outputs cost."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .boundary import sentence
from .calibration.calibrate import calibrate
from .calibration.gradients import output_metrics
from .calibration.moments import Moments, Statistic
from .calibration.output_metric import PLAIN
from .calibration.response import Response
from .calibration.samples import in_training_batches
from .calibration.sensitivity import change, chosen, name_of, scalar_of
from .calibration.weight_moments import weight_moments
from .data.batch import Batch
from .data.randomness import fixed_seed
from .data.structure import apply
from .kinds.decompositions import Decompositions, Wanted
from .memory import give_back
from .model.layer import Layer
from .model.mode import constant
from .model.stored_layer import StoredLayer
from .progress import WorkCallback
from .responses import kept_responses, responses
from .task import Task

Found = TypeVar("Found")

NAMED = 3
"""Layers that a note names."""


@dataclass(frozen=True)
class Statistics:
    """A dense model and its calibration batches, where it is.

    ``notes`` are sentences on what could not be found.
    """

    task: Task
    dense: nn.Module
    batches: Sequence[Batch]
    seed: int
    tell: WorkCallback
    notes: list[str] = field(default_factory=list[str])

    @property
    def key(self) -> str:
        """What the statistics depend on besides the model and the batches.

        A sensitivity of the user's own is known by what it returns: another one may have the same name.
        """
        name = name_of(self.task.sensitivity)
        if not callable(self.task.sensitivity):
            return name
        with torch.no_grad(), constant(self.dense), fixed_seed(self.seed):
            return f"{name} {float(self.scalar(apply(self.dense, self.batches[0].inputs), self.batches[0].targets))}"

    def chosen(self) -> str:
        """Return which changes of the outputs errors are measured by, where the model can be run backward."""
        batch = self.batches[0].parts(self.batches[0].samples)[0]
        with torch.no_grad(), constant(self.dense), fixed_seed(self.seed):
            outputs = apply(self.dense, batch.inputs)
        classifies = self.task.criterion.classifies(outputs, batch.targets)
        return chosen(self.task.sensitivity, outputs, classifies=classifies) if self.task.whiten else "none"

    def scalar(self, outputs: Any, targets: Any) -> Tensor:
        """Return the scalar of a batch whose gradient tells what errors cost, ``()`` (see `sensitivity`)."""
        classifies = self.task.criterion.classifies(outputs, targets)
        return scalar_of(self.task.sensitivity, outputs, targets, classifies=classifies)

    def change(self, ours: Any, dense: Any, targets: Any) -> Tensor:
        """Return what the change of a batch's outputs from the dense model's is, in the unit of errors, ``()``."""
        classifies = self.task.criterion.classifies(dense, targets)
        return change(self.task.sensitivity, ours, dense, targets, classifies=classifies)

    def respond(self, decompositions: Decompositions, held_out: Sequence[Batch], folder: Path | None, key: str) -> None:
        """Measure what errors of each layer change; with a folder, once for all the same statistics (``key``)."""

        def measure() -> dict[str, Response]:
            give_back()
            tell = functools.partial(self.tell, "measuring what errors change")
            return responses(self.dense, decompositions, held_out, self.change, self.task.calibration, tell)

        decompositions.responses = kept_responses(folder, key, decompositions, measure)

    def gather(self, wanted: Wanted) -> dict[tuple[str, Statistic], Moments]:
        """Return the moments wanted; none where the task decomposes layers by the error of their weights."""
        if not self.task.whiten or not wanted:
            return {}
        seen = {key: value for key, value in wanted.items() if key[1] != "gradients"}
        found: dict[tuple[str, Statistic], Moments] = {}
        give_back()  # of the part before: a third of the peak
        if seen:
            found |= calibrate(self.dense, seen, self.batches, functools.partial(self.tell, "calibrating"))
            give_back()
        modules = {layer.name: layer for layer, _ in seen.values()}
        metrics = self._found(modules, functools.partial(output_metrics, self.dense, modules))
        stored = {layer.name: layer for layer, _ in wanted.values() if isinstance(layer, StoredLayer)}
        of_weights = self._found(stored, functools.partial(weight_moments, self.dense, stored))
        return {
            **{key: moments._replace(metric=metrics.get(key[0], PLAIN)) for key, moments in found.items()},
            **{(name, "gradients"): moments for name, moments in of_weights.items()},
        }

    def _found(self, layers: Mapping[str, Layer], find: Callable[..., dict[str, Found]]) -> dict[str, Found]:
        """Return what a backward pass finds by layer name; none where that is not asked for or cannot be found."""
        if self.task.sensitivity == "none" or not layers:
            return {}
        batches = in_training_batches(self.batches, self.task.batch_size)
        try:
            found = find(batches, self.scalar, self.seed, functools.partial(self.tell, "finding what errors cost"))
        except RuntimeError as error:
            self.notes.append(
                "a layer's errors are those of its own output, whatever they cost the network's: "
                f"the model cannot be run backward in eval mode ({sentence(error)})"
            )
            return {}
        if names := [name for name in layers if name not in found]:
            listed = ", ".join(names[:NAMED]) + ", …" * (len(names) > NAMED)
            own = "the parameter itself" if isinstance(layers[names[0]], StoredLayer) else "the layer's own output"
            self.notes.append(f"no finite gradient reaches {listed}: there the errors are those of {own}")
        return found
