"""What layers are decomposed by: moments of what passes them, and what errors in their outputs cost."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .boundary import sentence
from .calibration.calibrate import calibrate
from .calibration.gradients import output_metrics
from .calibration.moments import Moments, Statistic
from .calibration.output_metric import PLAIN, OutputMetric
from .calibration.samples import in_training_batches
from .calibration.sensitivity import chosen, name_of, scalar_of
from .data.batch import Batch
from .data.randomness import fixed_seed
from .data.structure import apply
from .kinds.decompositions import Wanted
from .model.layer import Layer
from .model.mode import constant
from .model.stored_layer import StoredLayer
from .progress import WorkCallback
from .task import Task

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

    def gather(self, wanted: Wanted) -> dict[tuple[str, Statistic], Moments]:
        """Return the moments wanted; none where the task decomposes layers by the error of their weights."""
        if not self.task.whiten or not wanted:
            return {}
        found = calibrate(self.dense, wanted, self.batches, functools.partial(self.tell, "calibrating"))
        metrics = self._metrics({layer.name: layer for layer, _ in wanted.values()})
        return {key: moments._replace(metric=metrics.get(key[0], PLAIN)) for key, moments in found.items()}

    def _metrics(self, layers: Mapping[str, Layer]) -> dict[str, OutputMetric]:
        """Return what an error in each layer's output costs; none where that is not asked for or cannot be found."""
        modules = {name: layer for name, layer in layers.items() if not isinstance(layer, StoredLayer)}
        if self.task.sensitivity == "none" or not modules:
            return {}
        batches = in_training_batches(self.batches, self.task.batch_size)
        progress = functools.partial(self.tell, "finding what errors cost")
        try:
            found = output_metrics(self.dense, modules, batches, self.scalar, self.seed, progress)
        except RuntimeError as error:
            self.notes.append(
                "a layer's errors are those of its own output, whatever they cost the network's: "
                f"the model cannot be run backward in eval mode ({sentence(error)})"
            )
            return {}
        if names := [name for name in modules if name not in found]:
            listed = ", ".join(names[:NAMED]) + ", …" * (len(names) > NAMED)
            self.notes.append(
                f"no finite gradient reaches {listed}: there the errors are those of the layer's own output"
            )
        return found
