"""``finish``: the chosen model's final, longer fine-tune, a step of its own after the search."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from ...objectives.device import to_device
from ...objectives.dry_run import DryRun
from ...objectives.export.architecture import copy_architecture
from ...objectives.export.int8 import dequantized
from ...objectives.export.model_files import load_model, save_weights
from ...objectives.export.plan_files import REWRITES, model_paths, read_model_files_at, save_plan
from ...objectives.io.checkpoint import Checkpoint
from ...objectives.io.files import digest
from ...objectives.io.fingerprint import fingerprint
from ...objectives.metrics.values import Metrics
from ...objectives.objective import Objective
from ...objectives.training.settings import FineTune
from ..report.format import trial_line
from ..report.page import write_report
from ..report.progress import Progress, showing
from ..results.finished import finished_folder
from ..results.result import Result
from ..space.budget import Budget
from ..storage.locks import locks_of
from ..storage.rewrites import found_in
from .computing import FinishSettings, OfStudy
from .options import called_with
from .workers import Worker


@dataclass(frozen=True)
class Finished:
    """A finished model: where it lies, its scores before and after on validation, and on test where there is one."""

    folder: Path
    trial: int
    before: float
    score: float
    test: float | None
    metrics: Metrics
    model: nn.Module = field(repr=False)


@dataclass(frozen=True)
class FinishArguments(OfStudy, FinishSettings):
    """The arguments of `finish`."""


@called_with(FinishArguments)
def finish(settings: FinishArguments) -> Finished:  # noqa: D417
    """Fine-tune a study's best model for longer; go on from where an earlier call was interrupted.

    Args:
        task: the one that ``run`` was given.
        out: the study's folder; the finished model goes to ``finished``, into a folder for each budget.
        {options}

    Raises:
        RankfrontError: no model keeps the budget, or the task is not the study's.
    """
    finetune = settings.finetune(settings.task)
    with showing(settings.progress) as progress:
        return _finished(settings, Result.open(settings.out, settings.storage), finetune, progress)


def _finished(settings: FinishArguments, result: Result, finetune: FineTune, progress: Progress) -> Finished:
    task = settings.task
    asked = result.budget if settings.budget is None else Budget.of(settings.budget)
    chosen = result.best_trial(asked)
    objective = Objective(task, device=settings.torch_device(), found=found_in(result.study, task.model))
    result.check_belongs(objective)
    folder = finished_folder(result.folder, asked)
    weights, plan = model_paths(folder)
    seed = int(result.identity["seed"])
    key = fingerprint({}, chosen.trial, finetune, seed, result.identity["dense model"])
    if (done := result.finished_within(asked)) is not None and done.key == key:
        progress.say(f"trial {chosen.trial} is finished already: {done.folder}")
        weights, _, _ = read_model_files_at(done.folder)
        model = load_model(task.model, chosen.plan, weights, int8=result.int8, rewrites=objective.found.rewrites)
        return Finished(done.folder, chosen.trial, chosen.score, done.score, done.test, chosen.metrics, model)
    locks = locks_of(result.folder, settings.storage, result.study.study_name)
    # As a live worker, so that a run that starts meanwhile does not delete its temporary files.
    with locks.finishing(folder.name), Worker(result.folder, locks).alive():
        DryRun.of(objective, finetune).run(result.folder.path, progress)
        to_device(objective.dense, objective.device)
        model = result.load(chosen, task.model)
        if result.int8:
            model = dequantized(model, objective.dense, chosen.plan)
        checkpoint = Checkpoint(folder / "checkpoint.safetensors", key)
        what = f"fine-tuning trial {chosen.trial}"
        outcome = objective.finetuned(
            to_device(model, objective.device),
            finetune,
            seed,
            progress=lambda step, total: progress(what, step, total),
            checkpoint=checkpoint,
        )
        test = None if task.test is None else objective.score(outcome.model, "test")
        about = {
            "study": result.study.study_name,
            "trial": chosen.trial,
            "int8": result.int8,
            REWRITES: objective.found.rewrites,
            "key": key,
            "budget": str(asked),
            "epochs": finetune.epochs,
            "metrics": {result.scale.name: outcome.score, **chosen.metrics, **outcome.metrics},
            "before": {result.scale.name: chosen.score},
            "test": test,
            "dense": {result.scale.name: result.dense.score, **result.dense.metrics},
        }
        save_weights(weights, outcome.model, int8=result.int8)
        beside = copy_architecture(result.folder.architecture, folder)
        save_plan(plan, chosen.plan, {**about, **beside, "sha256": digest(weights)})
        checkpoint.remove()
    write_report(result)
    costs, scale = trial_line(outcome.score, outcome.metrics, result.dense), result.scale
    better = scale.minimised(outcome.score) < scale.minimised(chosen.score)
    gained = f"was {scale.show(chosen.score)}" if better else "no epoch was better: it is kept as it was"
    progress.say(f"finished trial {chosen.trial}: validation {costs} ({gained})")
    if test is not None:
        progress.say(f"test {scale.name} {scale.show(test)}")
    progress.say(f"finished model: {folder}")
    return Finished(folder, chosen.trial, chosen.score, outcome.score, test, outcome.metrics, outcome.model.cpu())
