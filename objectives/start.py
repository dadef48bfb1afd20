"""The network that a trial begins with: factorized, refitted, its batch norm re-estimated, each where that helps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from .calibration.samples import Samples, in_training_batches
from .device import to_device
from .errors import RankfrontError
from .kinds.decompositions import Decompositions
from .phases import FACTORIZING, REFITTING, Phases
from .plan import DENSE, Plan
from .training.batchnorm import reestimate_where_it_helps
from .training.block_metrics import Scalar
from .training.block_refit import refit_blocks
from .training.criterion import Criterion
from .training.held_out import is_better
from .training.loss import distance
from .training.network_refit import refit_network
from .training.norms import norms_of
from .training.refit import refit
from .training.shared_weights import SharedWeights

Refit = Literal["layer", "block", "network"] | None
"""Layer by layer; then block by block as well; then the whole network as well; not at all."""


def read_refit(given: object) -> Refit:
    """Return what a task's ``refit`` means: True is ``"layer"``, False and ``"none"`` None.

    Raises:
        RankfrontError: it is neither.
    """
    if given is None or given is False or given == "none":
        return None
    if given is True or given == "layer":
        return "layer"
    if given == "block":
        return "block"
    if given == "network":
        return "network"
    raise RankfrontError(f'refit must be "layer", "block", "network" or None (or True or False), but got {given!r:.60}')


@dataclass(frozen=True)
class Start:
    """What the networks of all plans are made of, and how they are compared."""

    dense: nn.Module
    decompositions: Decompositions
    samples: Samples
    criterion: Criterion
    """By which the outputs of two networks are compared."""
    scalar: Scalar | None
    """By whose gradient a refit by blocks weighs errors; None: alike."""
    frozen_norms: frozenset[str]
    device: torch.device
    batch_size: int
    """Largest batch of passes without gradients."""
    training_batch: int
    seed: int
    shared: SharedWeights | None = None

    def network(self, plan: Plan, how: Refit, phases: Phases) -> tuple[nn.Module, bool]:
        """Return a plan's network, and whether its batch norm was re-estimated; ``phases`` notes the time it takes."""
        with phases(FACTORIZING):
            factors = self.decompositions.in_place(self.dense, plan)
            model = to_device(self.decompositions.condensed(factors, plan), self.device)
        with phases(REFITTING):
            if how is not None:
                model = self._best([model, *self._refitted(to_device(factors, self.device), plan, how)])
            norms = self._reestimated(model)
            if self.shared is not None:
                best = self._best([model, *self.shared_network(plan)])
                model, norms = best, norms if best is model else bool(norms_of(best))
        return model, norms

    def distance(self, model: nn.Module) -> float:
        """Return how far a network is from the dense one, on held-out samples."""
        return distance(model, self.dense, self.samples.held_out, self.criterion)

    def shared_network(self, plan: Plan) -> Iterator[nn.Module]:
        """Yield the plan's network of shared weights; none where an identity block became singular."""
        assert self.shared is not None
        for model in self._condensed(self.shared.in_place(plan), plan):
            self._reestimated(model)
            yield model

    def _reestimated(self, model: nn.Module) -> bool:
        return reestimate_where_it_helps(model, self.samples.calibration, self.distance, self.frozen_norms)

    def _refitted(self, factors: nn.Module, plan: Plan, how: Refit) -> Iterator[nn.Module]:
        """Yield the networks of refitted ``factors``; none where an identity block became singular."""
        layers = [self.decompositions.layers[name] for name, choice in plan.items() if choice != DENSE]
        refit(factors, self.dense, layers, self.samples.calibration, self.batch_size)
        yield from self._condensed(factors, plan)
        if how == "layer":
            return
        names = [layer.name for layer in layers]
        batches, held_out = (in_training_batches(found, self.training_batch) for found in self.samples)
        refit_blocks(factors, self.dense, names, batches, held_out, scalar=self.scalar, seed=self.seed)
        yield from self._condensed(factors, plan)
        if how == "network":
            refit_network(factors, self.dense, names, batches, held_out, self.criterion, seed=self.seed)
            yield from self._condensed(factors, plan)

    def _condensed(self, factors: nn.Module, plan: Plan) -> Iterator[nn.Module]:
        try:
            yield to_device(self.decompositions.condensed(factors, plan), self.device)
        except np.linalg.LinAlgError:
            return

    def _best(self, models: list[nn.Module]) -> nn.Module:
        """Return the network nearest the dense one; an earlier one where a later is no better."""
        best, least = models[0], self.distance(models[0])
        for model in models[1:]:
            if is_better(distance := self.distance(model), least):
                best, least = model, distance
        return best
