"""What one trial does to one model: ``(plan, seed) → (score, metrics, model)``.

The same plan and seed on the same CPU (and number of threads) give the same outcome.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .calibration.calibrate import calibrate
from .calibration.moments import Moments, Statistic
from .data.batch import Batch
from .data.randomness import seeded
from .data.split import Split
from .data.structure import apply, tensors_of
from .device import to_device
from .errors import RankfrontError
from .export.int8 import entries_of_quantized, quantized
from .identity import identity_of
from .io.checkpoint import Checkpoint
from .io.fingerprint import fingerprint, named
from .io.saved import entries
from .kinds.cache import DecompositionCache
from .kinds.decompositions import Decompositions, Wanted
from .kinds.probe import without_inapplicable, without_unreplaceable
from .kinds.registry import kinds_named
from .metrics.costs import Costs
from .metrics.registry import measure
from .metrics.score import ACCURACY, accuracy, evaluate
from .metrics.values import Metrics
from .model.attention import unpacked_where_it_runs
from .model.layer import Layer, find_layers
from .plan import DENSE, Choice, Plan
from .progress import CountCallback, WorkCallback
from .task import Task
from .training.batchnorm import reestimate_where_it_helps
from .training.distillation import SoftTargets, distillation_loss
from .training.finetune import finetune
from .training.held_out import is_better
from .training.refit import refit
from .training.settings import FineTune

BATCH = 64
"""Largest batch of the passes over calibration data."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial: its validation score, what the network costs, and the network (on the CPU)."""

    score: float
    metrics: Metrics
    model: nn.Module
    batchnorm_reestimated: bool = False
    score_before_finetuning: float | None = None
    """The validation score before fine-tuning; None where it is not known."""
    notes: tuple[str, ...] = ()
    """What was unusual."""


class Objective:
    """A task made ready for trials: layers found, costs known, every layer decomposed.

    Raises:
        RankfrontError: the model has no layer that can be factorized, or refuses its data.
    """

    def __init__(self, task: Task, *, device: torch.device, seed: int = 0, cache: Path | None = None) -> None:
        self.task = task
        self.device = device
        self.seed = seed
        self.example = task.train.example()
        try:
            # On the CPU first, wherever it was trained: there the traced passes run.
            self.dense = unpacked_where_it_runs(task.model, self.example).cpu().eval()
        except RuntimeError as error:  # old-style weight norm and pruning hold tensors that cannot be copied
            raise RankfrontError(f"the model must be one that copy.deepcopy copies, but: {error}") from error
        kinds = kinds_named(task.kinds)
        found = without_inapplicable(find_layers(self.dense, self.example, task.exclude), kinds)
        self.layers = without_unreplaceable(self.dense, found, self.example, kinds)
        self.by_name: dict[str, Layer] = {layer.name: layer for layer in self.layers}
        taking = {layer.name: tuple(kind for kind in kinds if kind.applies(layer)[0]) for layer in self.layers}
        self.decompositions = Decompositions(self.by_name, taking)
        self.costs = Costs(self.dense, self.layers, self.example, task.int8)
        if not any(self._saves(layer) for layer in self.layers):
            reasons = "; ".join(f"{name}: {why}" for name, why in list(self.layers.left_dense.items())[:3])
            raise RankfrontError(
                "the model must have a Linear or convolution that a factorization makes smaller, but has none"
                + (f" ({reasons})" if reasons else "")
            )
        self._check_loss_and_score()
        self._cache = cache
        self._calibration: list[Batch] = []
        self._held_out: list[Batch] = []
        self._soft = SoftTargets(self.dense, task.train)

    def _saves(self, layer: Layer) -> bool:
        return any(
            kind.cost(layer, kind.smallest(layer)).params < layer.params
            for kind in self.decompositions.kinds[layer.name]
        )

    @property
    def smallest(self) -> Metrics:
        """The least of each metric that any plan reaches; known before anything is decomposed."""
        return self.costs.smallest(
            {
                name: [*(Choice(kind.name, kind.smallest(self.by_name[name])) for kind in kinds), DENSE]
                for name, kinds in self.decompositions.kinds.items()
            }
        )

    @property
    def samples(self) -> int:
        """How many the validation score was taken on, where it is a proportion of samples; else 0."""
        return len(self.task.validation) if self.task.score.scale.proportion else 0

    @torch.no_grad()
    def _check_loss_and_score(self) -> None:
        """Try the loss on a few training samples and accuracy on a few of validation, on the CPU."""
        tried: list[tuple[str, str, Split, Callable[[Any, Any], Any]]] = [
            ("loss", "training", self.task.train, self.task.loss or functional.cross_entropy)
        ]
        if self.task.score is ACCURACY:
            tried.append(("score", "validation", self.task.validation, accuracy))
        for name, data, split, function in tried:
            for batch in split.batches(2, limit=2):
                try:
                    outputs = apply(self.dense, batch.inputs)
                except Exception as error:
                    raise RankfrontError(f"the model must accept a sample of the {data} data, but: {error}") from error
                if isinstance(outputs, Tensor) and not bool(torch.isfinite(outputs).all()):
                    raise RankfrontError(
                        f"the model must give finite outputs on the {data} data, but gave NaN or infinity: look for it "
                        "in the inputs, the weights and the running statistics of batch norm"
                    )
                try:
                    function(outputs, batch.targets)
                except RankfrontError:
                    raise
                except Exception as error:
                    raise RankfrontError(
                        f"the {name} must accept the model's outputs and the data's targets, "
                        f"but: {type(error).__name__}: {error}"
                    ) from error
                if name == "loss" and self.task.classifies and isinstance(outputs, Tensor):
                    split.check_classes(outputs.shape[1], getattr(self.task.loss, "ignore_index", -100))

    def fingerprint(self) -> dict[str, str]:
        """Return short hashes of the dense model and of each data split."""
        splits = {name: getattr(self.task, name) for name in ("train", "validation", "test")}
        prints = {name: split.fingerprint() for name, split in splits.items() if split is not None}
        return {
            "dense model": fingerprint(self.task.model.state_dict())[:16],
            **{f"{k} data": v for k, v in prints.items()},
        }

    @property
    def frozen(self) -> bool:
        """Whether no parameter of the dense model is trained: then none of a factorized one is."""
        return not any(parameter.requires_grad for parameter in self.dense.parameters())

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What the model, the data, the loss and the score are known by (see `identity`); plain data."""
        return identity_of(self.task, self.dense, float(self.costs.dense["flops"]))

    def prepare(self, progress: WorkCallback | None = None) -> None:
        """Calibrate, and decompose every layer by every kind; what is cached on disk is not done again."""
        tell = progress or (lambda what, done, total: None)
        to_device(self.dense, self.device)
        self._read_calibration_data()
        key = self._decomposed_from()

        def gather(wanted: Wanted) -> dict[tuple[str, Statistic], Moments]:
            if not self.task.whiten or not wanted:
                return {}
            return calibrate(self.dense, wanted, self._calibration, functools.partial(tell, "calibrating"))

        self.decompositions.fill(DecompositionCache(self._cache, key), gather, functools.partial(tell, "decomposing"))

    @torch.no_grad()
    def _decomposed_from(self) -> str:
        """Return a hash of all that decompositions come from, to the last bit: where it is another, they are made anew.

        Any layer's statistics depend on the layers before it, so the whole model counts: its weights, what it computes
        with them, and the samples that were drawn for calibration.
        """
        drawn = [tensor for batch in self._calibration for tensor in tensors_of(batch.inputs)]
        computed = tensors_of(apply(self.dense, self._calibration[0].inputs))
        weights = fingerprint(self.dense.state_dict())
        return fingerprint(named([*drawn, *computed]), weights, self.task.whiten)

    def _read_calibration_data(self) -> None:
        """Draw the calibration samples, and as many as a quarter of them again to be held out."""
        size = self.task.calibration
        held_out = max(1, size // 4)
        batch_size = min(BATCH, max(2, (size + held_out) // 5))  # at least one batch is to be held out
        with seeded(self.seed):  # of a Dataset that draws, too: resumed, it gives the same samples
            order = torch.Generator().manual_seed(self.seed)
            batches = list(
                self.task.train.batches(batch_size, device=self.device, shuffle=order, limit=size + held_out)
            )
        keep = max(1, round(len(batches) * size / (size + held_out)))
        self._calibration, self._held_out = batches[:keep], batches[keep:] or batches[-1:]

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
    ) -> Outcome:
        """Run one trial.

        Args:
            plan: what becomes of every layer.
            seed: of everything random in the trial.
            finetune_by: another fine-tune than the task's own.
            progress: told the fine-tuning steps done.
            stop: asked after every epoch but the last, ``(epoch, score)``, whether to stop.

        Raises:
            TrialError: a loss or score that is not finite. Whatever the user's own code raises passes.
        """
        model, helped = self._started(plan)
        outcome = self.finetuned(model, finetune_by or self.task.finetune, seed, progress=progress, stop=stop)
        return replace(outcome, batchnorm_reestimated=helped)

    def score_before_finetuning(self, plan: Plan) -> float | None:
        """Return the validation score that a trial's network has before fine-tuning; None where there is none."""
        return self._score_if_any(lambda: self._started(plan)[0])

    def factorized_score(self, plan: Plan) -> float | None:
        """Return the validation score of a plan's network as it is factorized; None where there is none."""
        return self._score_if_any(lambda: self.factorize(plan))

    def _score_if_any(self, make: Callable[[], nn.Module]) -> float | None:
        try:
            return self.score(make())
        except Exception:  # the user's score may raise anything: a trial would say so
            return None

    def _started(self, plan: Plan) -> tuple[nn.Module, bool]:
        """Return the network that a trial fine-tunes, and whether its batch norm was re-estimated."""
        factors = self.decompositions.in_place(self.dense, plan)
        model = to_device(self.decompositions.condensed(factors, plan), self.device)
        if self.task.refit:
            model = self._refitted_where_it_helps(model, to_device(factors, self.device), plan)
        return model, reestimate_where_it_helps(model, self._calibration, self._distance_to_dense)

    def finetuned(
        self,
        model: nn.Module,
        settings: FineTune,
        seed: int,
        *,
        progress: CountCallback | None = None,
        checkpoint: Checkpoint | None = None,
        stop: Callable[[int, float], bool] | None = None,
    ) -> Outcome:
        """Fine-tune a factorized network, and make of it what is shipped and scored.

        Args:
            model: on this objective's device; trained in place.
            settings: how long and how.
            seed: of everything random.
            progress: told the steps done.
            checkpoint: kept after every epoch, and gone on from where it is there.
            stop: asked after every epoch but the last, ``(epoch, score)``, whether to stop.

        Raises:
            TrialError: a loss or score that is not finite.
        """
        notes: list[str] = []
        scores: list[float] = []

        scale = self.task.score.scale

        def validate(model: nn.Module) -> float:
            scores.append(self.score(model))
            return -scale.minimised(scores[-1])

        best = finetune(
            model,
            self.task.train,
            functools.partial(self._loss, settings),
            validate,
            settings,
            seed=seed,
            device=self.device,
            progress=progress,
            checkpoint=checkpoint,
            stop=None if stop is None else lambda epoch, value: stop(epoch, scale.minimised(-value)),
            note=notes.append,
        )
        score = scale.minimised(-best)
        model = model.to("cpu", memory_format=torch.contiguous_format).eval()  # pyright: ignore[reportCallIssue]
        metrics = measure(model, self.example, entries_of_quantized if self.task.int8 else entries)
        if self.task.int8:
            model = quantized(model)
            score = self.score(model)
            model = model.cpu()
        return Outcome(score, metrics, model, score_before_finetuning=scores[0], notes=tuple(notes))

    def score(self, model: nn.Module, split: str = "validation") -> float:
        """Return a network's score on the named split."""
        return evaluate(model.to(self.device), getattr(self.task, split), self.task.score, device=self.device)

    def _refitted_where_it_helps(self, model: nn.Module, factors: nn.Module, plan: Plan) -> nn.Module:
        """Return the network of refitted ``factors``, or ``model`` where that is no better on held-out data."""
        layers = [self.by_name[name] for name, choice in plan.items() if choice != DENSE]
        refit(factors, self.dense, layers, self._calibration)
        try:
            refitted = to_device(self.decompositions.condensed(factors, plan), self.device)
        except np.linalg.LinAlgError:  # an identity block became singular
            return model
        better = is_better(self._distance_to_dense(refitted), self._distance_to_dense(model))
        return refitted if better else model

    def _loss(self, settings: FineTune, outputs: Any, batch: Batch) -> Tensor:
        """The true loss and the distance to the dense model, mixed by ``settings.distill``."""
        loss = self.task.loss or functional.cross_entropy
        if settings.distill == 0:
            return loss(outputs, batch.targets)
        soft = distillation_loss(
            outputs,
            self._soft.of(batch),
            classes=self.task.classifies,
            temperature=settings.temperature,
        )
        if settings.distill == 1:
            return soft
        return (1 - settings.distill) * loss(outputs, batch.targets) + settings.distill * soft

    @torch.no_grad()
    def _distance_to_dense(self, model: nn.Module) -> float:
        """The distillation loss at temperature 1 on held-out calibration data."""
        was_training = model.training
        model.eval()
        total = 0.0
        for batch in self._held_out:
            outputs, soft = apply(model, batch.inputs), apply(self.dense, batch.inputs)
            total += float(distillation_loss(outputs, soft, classes=self.task.classifies, temperature=1.0))
        model.train(was_training)
        return total if math.isfinite(total) else math.inf
