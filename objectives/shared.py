"""Shared training: the weights of all plans are trained together, once (see `training.shared_weights`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from torch import nn

from .data.few import Few
from .data.randomness import fixed_seed
from .io.checkpoint import Checkpoint
from .io.fingerprint import fingerprint
from .metrics.evaluation import evaluate
from .plan import Plan
from .progress import CountCallback
from .training.finetune import finetune
from .training.loss import mixed_loss
from .training.shared_weights import SharedWeights

if TYPE_CHECKING:
    from .objective import Objective

PART = 4000
"""Samples of the validation split, drawn once, by which plans of shared weights are compared."""


@dataclass(frozen=True)
class Shared:
    """Weights of all plans, and what their networks are compared on."""

    weights: SharedWeights
    part: Few
    """Of the validation split."""

    @classmethod
    def of(cls, objective: Objective, plans: Sequence[Plan]) -> Shared:
        """Return the weights before any training.

        Args:
            objective: prepared.
            plans: those to train on.
        """
        order = torch.Generator().manual_seed(objective.seed)
        validation = objective.task.validation
        with fixed_seed(objective.seed):
            batches = validation.drawn(PART, objective.batch_size, device=objective.device, order=order)
        weights = SharedWeights(objective.dense, objective.decompositions, plans, objective.frozen_norms)
        return cls(weights.to(objective.device), Few(validation, batches))

    def score(self, objective: Objective, model: nn.Module) -> float:
        """Return a network's score on the part of the validation split."""
        found = evaluate(model, self.part, objective.task.score, device=objective.device, batch_size=self.part.size)
        return found.score


def train_shared(
    objective: Objective,
    plans: Sequence[Plan],
    watched: Sequence[Plan],
    *,
    steps: int,
    seed: int,
    checkpoint: Checkpoint,
    progress: CountCallback,
    note: Callable[[str], None],
) -> None:
    """Train weights for all plans, and let the objective's networks begin with them; go on from a checkpoint.

    Args:
        objective: prepared.
        plans: one of them, drawn anew, is trained at each step, by the trials' own loss and settings.
        watched: the weights are kept at which these score best, on the mean.
        steps: how many.
        seed: of everything random.
        checkpoint: where they are kept, after every epoch and at the end; its key is extended by all of these.
        progress: called with the number of steps done, and of all.
        note: called with a sentence on whatever was unusual.

    Raises:
        TrialError: the loss is not finite. Whatever the user's own code raises passes.
    """
    task, criterion = objective.task, objective.task.criterion
    settings = replace(task.finetune, steps=steps)
    shared = Shared.of(objective, plans)
    objective.shared = None
    key = fingerprint({}, checkpoint.key, settings, seed, [plan.to_json() for plan in plans])
    done = replace(checkpoint, key=f"{key} done")
    if not done.load(shared.weights)[0]:

        def validate(weights: nn.Module) -> float:
            objective.shared = shared
            scores = [objective.score_before_finetuning(plan) for plan in watched]
            objective.shared = None
            return fmean(float("inf") if s is None else task.score.scale.minimised(s) for s in scores)

        finetune(
            shared.weights,
            task.train,
            functools.partial(mixed_loss, loss=criterion, soft=objective.soft, by=settings),
            validate,
            settings,
            seed=seed,
            device=objective.device,
            progress=progress,
            checkpoint=replace(checkpoint, key=key),
            note=note,
            forward=criterion.forward,
        )
        done.save(steps, shared.weights)
    objective.shared = shared
