"""A dry run before anything is prepared: what would fail in every trial is said at once, in one sentence.

A few samples pass the real evaluation with the real score, in batches of unequal size; one training step passes the
real fine-tune of a network in which every layer is factorized, with small random factors; that network is saved and
loaded again. Nothing is left changed: random state, the model, the loaders and their workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .boundary import UNEXPECTED, told
from .checks import check_ends, check_score
from .data.batch import Batch
from .data.few import Few, few_of, gives_single, leaves_one
from .data.randomness import fixed_seed
from .data.structure import full_precision
from .device import on_cpu, to_device
from .errors import RankfrontError, TrialError
from .export.int8 import quantized
from .export.model_files import load_model, save_weights
from .failing import failure
from .io.files import passing
from .kinds.random_factors import random_factors
from .loss_check import check_loss
from .metrics.evaluation import evaluate
from .model.copying import copied
from .model.mode import in_eval
from .model.stand_in import Computing
from .plan import Choice, Plan
from .progress import WorkCallback
from .training.distillation import SoftTargets
from .training.finetune import ALL_SINGLE, finetune
from .training.loss import mixed_loss
from .training.norms import SINGLE, set_training
from .warnings import warnings_on

if TYPE_CHECKING:
    from .objective import Objective
    from .training.settings import FineTune

SIZES = 8, 5
"""Samples of the two batches."""

FEWEST = 2, 1
"""Samples of the two batches of a network whose pass takes long."""

FLOP_LIMIT = 5e9
"""FLOP of one pass of `SIZES` samples beyond which `FEWEST` are taken; all passes together take some ten times it."""

DIVERGED = 100.0
"""A loss that one training step makes so many times larger than that of random factors has diverged."""


@dataclass(frozen=True)
class DryRun:
    """A dry run of an objective that is not prepared yet."""

    objective: Objective
    by: FineTune
    """How networks will be trained."""

    @classmethod
    def of(cls, objective: Objective, by: FineTune | None = None) -> DryRun:
        """Return the dry run of an objective; with another fine-tune than the task's own where one is given."""
        return cls(objective, by or objective.task.finetune)

    def run(self, folder: Path, progress: WorkCallback | None = None) -> list[str]:
        """Return warnings, each a sentence.

        Args:
            folder: the study's, where a network is saved for a moment; it need not be there.
            progress: told what takes long.

        Raises:
            RankfrontError: what would fail in every trial: what and where, the rule, what to do.
        """
        objective, task = self.objective, self.objective.task
        dense = to_device(objective.dense, objective.device)
        flops = float(objective.costs.dense["flops"])
        sizes = SIZES if flops * sum(SIZES) <= FLOP_LIMIT else FEWEST
        trained, scored = (_within(sizes, most) for most in (task.batch_size, objective.batch_size))
        with _left_as_it_was(objective):
            check_ends(task, objective.batch_size)
            train = few_of(task.train, (1, 1) if gives_single(task.train) else trained, objective.device)
            single = (1,) if leaves_one(task.validation, objective.batch_size) else ()
            validation = few_of(task.validation, (*scored, *single), objective.device)
            first = Few(task.train, train.held[:1])
            check_loss(task, dense, first)
            few_do = check_score(task, dense, validation, objective.batch_size)
            if task.test is not None:
                check_score(task, dense, few_of(task.test, scored, objective.device), objective.batch_size, "test")
            warnings = list(warnings_on(task, dense, train, validation))
            plan = _smallest(objective)
            model = random_factors(dense, plan)
            warnings += self._train(model, plan, first, validation if few_do else None, progress)
            self._save(model, plan, folder)
        return warnings

    def _train(
        self, model: nn.Module, plan: Plan, first: Few, validation: Few | None, progress: WorkCallback | None
    ) -> list[str]:
        """Take one training step by the real fine-tune; return warnings."""
        objective, task = self.objective, self.objective.task
        if self.by.total_steps(task.train) == 0:
            return []
        if not any(parameter.requires_grad for parameter in objective.dense.parameters()):
            return [
                "every parameter is frozen: nothing to fine-tune; model.requires_grad_(True) lets factors be trained"
            ]
        losses: list[float] = []

        def validate(model: nn.Module) -> float:
            if validation is not None and not losses:
                own = {"device": objective.device, "batch_size": objective.batch_size}
                evaluate(model, validation, task.score, **own)
            losses.append(self._loss(model, first.held[0]))
            return 0.0

        try:
            finetune(
                model,
                first,
                self._mixed,
                validate,
                replace(self.by, steps=1),
                seed=0,
                device=objective.device,
                forward=task.criterion.forward,
                frozen=objective.frozen_norms,
            )
        except TrialError as error:
            if not self._trains(random_factors(objective.dense, plan), first.held[0])[0]:
                raise self._refused(error, plan, first.held[0], progress) from error
            return [f"a training step with small random factors did not work: {error}"]
        except RankfrontError:
            raise
        except Exception as error:
            raise self._refused(error, plan, first.held[0], progress) from error
        before, after = losses
        if not before > 0 or after <= DIVERGED * before:
            return []
        return [
            f"finetune lr {self.by.lr:g} is too large for {self.by.optimizer}: one step takes the loss of "
            f"random factors from {before:.3g} to {after:.3g}"
        ]

    @cached_property
    def _mixed(self) -> Callable[[Any, Batch], Tensor]:
        """The loss that trials minimise."""
        task = self.objective.task
        soft = SoftTargets(self.objective.dense, task.train, self.objective.batch_size)
        return partial(mixed_loss, loss=task.criterion, soft=soft, by=self.by)

    def _loss(self, model: nn.Module, batch: Batch) -> float:
        """Return the loss of a network on a batch, in training."""
        set_training(model, self.objective.frozen_norms)
        with torch.no_grad():
            return float(self._mixed(full_precision(self.objective.task.criterion.forward(model, batch)), batch))

    def _trains(self, model: nn.Module, batch: Batch) -> tuple[bool, str]:
        """Return whether a network passes forward and backward in training, and why not."""
        try:
            set_training(model, self.objective.frozen_norms)
            with Computing() as computing:
                outputs = self.objective.task.criterion.forward(model, batch)
            self._mixed(full_precision(outputs), batch).backward()
        except Exception as error:
            return False, str(told(error)).removesuffix(UNEXPECTED)
        if computing.function is not None:
            return False, f"the model computes with its weight ({computing.function})"
        return True, ""

    def _refused(self, error: Exception, plan: Plan, batch: Batch, progress: WorkCallback | None) -> RankfrontError:
        """Return the error of a training step that failed: the model's own, or the layers' whose factors it refuses."""
        dense = self.objective.dense
        possible, why = self._trains(copied(dense), batch)
        if not possible and batch.samples == 1 and SINGLE in why:
            return RankfrontError(ALL_SINGLE)
        if not possible:
            return RankfrontError(f"a training step of the model must work, but: {why}")

        def why_not(names: Sequence[str]) -> str:
            return self._trains(random_factors(dense, Plan({name: plan[name] for name in names})), batch)[1]

        if (single := failure(list(plan), why_not, progress)) is not None:
            return single
        return RankfrontError(f"a training step with every layer factorized must work, but: {told(error)}")

    def _save(self, model: nn.Module, plan: Plan, folder: Path) -> None:
        """Save the network as a trial's is, and load it again into the user's architecture."""
        objective, int8 = self.objective, self.objective.task.int8
        model = in_eval(on_cpu(model))
        with passing(folder, ".safetensors") as path:
            try:
                save_weights(path, quantized(model) if int8 else model, int8=int8)
                load_model(objective.task.model, plan, path, int8=int8, rewrites=objective.found.rewrites)
            except Exception as error:
                if isinstance(error.__cause__, OSError):  # the folder or the disk, not the network
                    raise
                raise RankfrontError(
                    f"the network must be one that can be saved and loaded again, but: {told(error)}"
                ) from error


def _within(sizes: tuple[int, int], most: int) -> tuple[int, int]:
    """Return sizes of two batches of no more than ``most`` samples, unequal where that can be.

    >>> _within(SIZES, 100), _within(SIZES, 4), _within(SIZES, 1)
    ((8, 5), (4, 2), (1, 1))
    """
    first, second = sizes
    return (first, second) if first <= most else (most, max(1, most * second // first))


def _smallest(objective: Objective) -> Plan:
    """Return the plan in which every layer has its first kind's smallest rank."""
    kinds = objective.decompositions.kinds
    layers = objective.by_name
    return Plan({name: Choice(of[0].name, of[0].smallest(layers[name])) for name, of in kinds.items() if of})


@contextlib.contextmanager
def _left_as_it_was(objective: Objective) -> Iterator[None]:
    """Fix the random state in the context; restore it at the end, that of loaders and of a GPU, too."""
    task, device = objective.task, objective.device
    splits = [split for split in (task.train, task.validation, task.test) if split is not None]
    generators = [generator for split in splits for generator in split.generators]
    with fixed_seed(0, *generators), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
