"""What one trial does to one model: ``(plan, seed) → (score, metrics, model)``.

The same plan and seed on the same CPU (and number of threads) give the same outcome.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .calibration.samples import Samples, draw
from .checks import check_some_layer_saves
from .dense import dense_of
from .device import on_cpu, to_device
from .export.int8 import quantized
from .identity import identity_of
from .io.checkpoint import Checkpoint
from .kinds.cache import DecompositionCache, key_of
from .kinds.decompositions import Decompositions
from .metrics.costs import Costs
from .metrics.evaluation import Evaluation, evaluate
from .metrics.registry import measure
from .metrics.validations import Validations
from .metrics.values import Metrics
from .model.layer import Layer
from .model.mode import in_eval
from .model.pass_size import pass_size
from .model.plain.form import Found
from .outcome import Outcome
from .phases import SCORING, TRAINING, Phases
from .plan import Plan
from .progress import CountCallback, WorkCallback
from .shared import Shared
from .start import Refit, Start, read_refit
from .statistics import Statistics
from .task import Task
from .training.block_metrics import Scalar
from .training.distillation import SoftTargets
from .training.finetune import finetune
from .training.loss import mixed_loss
from .training.norms import frozen_norms
from .training.settings import FineTune


class Objective:
    """A task made ready for trials: layers found, costs known, every layer decomposed.

    Of a study that goes on, ``found`` is what was found in its model. ``nested``: without kinds that share no weights.

    Raises:
        RankfrontError: the model has no layer that can be factorized, or refuses its data.
    """

    def __init__(
        self,
        task: Task,
        *,
        device: torch.device,
        seed: int = 0,
        cache: Path | None = None,
        found: Found | None = None,
        nested: bool = False,
    ) -> None:
        self.task, self.device, self.seed = task, device, seed
        self.example = task.train.example()
        dense = dense_of(task, self.example, found, nested=nested)
        self.dense, self.found, self.layers, self.left_dense = dense.model, dense.found, dense.layers, dense.left
        self.by_name: dict[str, Layer] = {layer.name: layer for layer in self.layers}
        self.decompositions = Decompositions(self.by_name, dense.kinds)
        self.costs = Costs(self.dense, self.layers, self.layers.example, task.int8)
        check_some_layer_saves(self.left_dense)
        self.batch_size = task.eval_batch_size or pass_size(self.dense, self.example, task.batch_size)
        """Largest batch of the passes without gradients."""
        self._cache, self.samples = cache, Samples([], [])
        """What `prepare` drew: for calibration, and held out."""
        self.frozen_norms = frozen_norms(self.dense, task.model)
        """Paths of the norms whose statistics the user froze."""
        self._scalar: Scalar | None = None
        self.sensitivity = "none"  # which changes of the outputs errors are measured by; `prepare` finds it
        self.notes: list[str] = []  # what `prepare` found that a user should know, each a sentence
        self.shared: Shared | None = None  # until weights that all plans share are trained (see `shared`)
        self.soft = SoftTargets(self.dense, task.train, self.batch_size)

    @property
    def smallest(self) -> Metrics:
        """The least of each metric that any plan reaches; known before anything is decomposed."""
        return self.costs.smallest(self.decompositions.smallest)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What the model, the data, the loss and the score are known by (see `identity`); plain data."""
        return identity_of(self.task, self.dense, float(self.costs.dense["flops"]), self.batch_size)

    def prepare(self, progress: WorkCallback | None = None) -> None:
        """Calibrate, and decompose every layer by every kind; what is cached on disk is not done again."""
        tell = progress or (lambda *_: None)
        to_device(self.dense, self.device)
        self.samples = draw(self.task.train, self.task.calibration, self.seed, self.device, self.batch_size)
        statistics = Statistics(self.task, self.dense, self.samples.calibration, self.seed, tell, self.notes)
        self._scalar = statistics.scalar
        key = key_of(self.dense, self.samples.calibration, self.task.whiten, statistics.key)
        cache = DecompositionCache(self._cache, key)
        self.decompositions.fill(cache, statistics.gather, functools.partial(tell, "decomposing"))
        if self.decompositions.mean_importance:
            self.sensitivity = statistics.chosen()
            statistics.respond(self.decompositions, self.samples.held_out, self._cache, key)

    def factorize(self, plan: Plan) -> nn.Module:
        """Return the dense model factorized by the plan, without any training."""
        return self.decompositions.condensed(self.decompositions.in_place(self.dense, plan), plan)

    def __call__(
        self,
        plan: Plan,
        seed: int,
        *,
        finetune_by: FineTune | None = None,
        progress: CountCallback | None = None,
        stop: Callable[[int, float], bool] | None = None,
        phases: Phases | None = None,
    ) -> Outcome:
        """Run one trial.

        Args:
            plan: what becomes of every layer.
            seed: of everything random in the trial.
            finetune_by: another fine-tune than the task's own.
            progress: called with the number of fine-tuning steps done, and of all.
            stop: asked after every epoch but the last, ``(epoch, score)``, whether to stop.
            phases: notes where the time goes.

        Raises:
            TrialError: a loss or score that is not finite. Whatever the user's own code raises passes.
        """
        phases = phases or Phases()
        model, helped = self.started(plan, read_refit(self.task.refit), phases)
        by = finetune_by or self.task.finetune
        outcome = self.finetuned(model, by, seed, progress=progress, stop=stop, phases=phases)
        before = outcome.score_before_finetuning if self.shared is None else self.score_before_finetuning(plan)
        metrics = self.costs.completed(outcome.metrics, plan)
        return replace(outcome, batchnorm_reestimated=helped, score_before_finetuning=before, metrics=metrics)

    def score_before_finetuning(self, plan: Plan) -> float | None:
        """Return the validation score that a trial's network has before fine-tuning; None where there is none.

        Refitted by layers only: more takes as long as a short training. Of shared weights, on a part of the split.
        """
        start, shared = self._start(), self.shared
        if shared is not None:
            return _if_any(lambda: shared.score(self, next(start.shared_network(plan))))
        return _if_any(lambda: self.score(start.network(plan, "layer" if self.task.refit else None, Phases())[0]))

    def factorized_score(self, plan: Plan) -> float | None:
        """Return the validation score of a plan's network as it is factorized; None where there is none."""
        return _if_any(lambda: self.score(self.factorize(plan)))

    def started(self, plan: Plan, how: Refit, phases: Phases | None = None) -> tuple[nn.Module, bool]:
        """Return the network that a trial fine-tunes, refitted so, and whether its batch norm was re-estimated."""
        return self._start().network(plan, how, phases or Phases())

    def _start(self) -> Start:
        scalar = None if self.sensitivity == "none" else self._scalar
        known = self.dense, self.decompositions, self.samples, self.task.criterion, scalar, self.frozen_norms
        sizes = self.batch_size, self.task.batch_size
        return Start(*known, self.device, *sizes, self.seed, self.shared and self.shared.weights)

    def finetuned(
        self,
        model: nn.Module,
        settings: FineTune,
        seed: int,
        *,
        progress: CountCallback | None = None,
        checkpoint: Checkpoint | None = None,
        stop: Callable[[int, float], bool] | None = None,
        phases: Phases | None = None,
    ) -> Outcome:
        """Fine-tune a factorized network, and make of it what is shipped and scored.

        Args:
            model: on this objective's device; trained in place.
            settings: how long and how.
            seed: of everything random.
            progress: called with the number of steps done, and of all.
            checkpoint: kept after every epoch, and gone on from where it is there.
            stop: asked after every epoch but the last, ``(epoch, score)``, whether to stop.
            phases: notes where the time goes.

        Raises:
            TrialError: a loss or score that is not finite.
        """
        notes: list[str] = []
        scale, criterion = self.task.score.scale, self.task.criterion
        phases = phases or Phases()
        validations = Validations(scale)

        def validate(model: nn.Module) -> float:
            with phases(SCORING):
                return validations.add(self.scored(model))

        with phases(TRAINING):
            least = finetune(
                model,
                self.task.train,
                functools.partial(mixed_loss, loss=criterion, soft=self.soft, by=settings),
                validate,
                settings,
                seed=seed,
                device=self.device,
                progress=progress,
                checkpoint=checkpoint,
                stop=None if stop is None else lambda epoch: stop(epoch, validations.latest),
                note=notes.append,
                forward=criterion.forward,
                frozen=self.frozen_norms,
            )
        interval = validations.interval_of(score := scale.minimised(least))
        model = in_eval(on_cpu(model))
        metrics = measure(model, self.layers.example, self.costs.saved)
        if self.task.int8:
            model = quantized(model)
            with phases(SCORING):
                evaluated = self.scored(model)
            score, interval, model = evaluated.score, evaluated.interval, model.cpu()
        return Outcome(score, metrics, model, False, validations.first, tuple(notes), interval)

    def score(self, model: nn.Module, split: str = "validation") -> float:
        """Return a network's score on the named split."""
        return self.scored(model, split).score

    def scored(self, model: nn.Module, split: str = "validation") -> Evaluation:
        """Return a network's score on the named split, on how much it was computed, and its interval."""
        data = getattr(self.task, split)
        return evaluate(model.to(self.device), data, self.task.score, device=self.device, batch_size=self.batch_size)


def _if_any(score: Callable[[], float]) -> float | None:
    try:
        return score()
    except Exception:  # the user's score may raise anything: a trial would say so
        return None
