"""``verify``: load every model of the front again, count and score it, and compare that with the stored values.

The files to ship are compared, too: with the hash that was stored when they were written. What ``export`` wrote is
checked in `verify_exports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ...objectives.described import counted
from ...objectives.errors import RankfrontError
from ...objectives.export.int8 import dequantized
from ...objectives.export.plan_files import model_folders, read_model_files_at
from ...objectives.metrics.latency import LATENCY
from ...objectives.metrics.latency_table import PredictedLatency
from ...objectives.metrics.metric import Metric, Subject
from ...objectives.metrics.registry import METRICS
from ...objectives.objective import Objective
from ...objectives.task import Task
from ..report.progress import Progress, showing
from ..results.best import best_or_none
from ..results.result import Result
from ..storage.latency import latency_table_of
from ..storage.manifest import machine
from ..storage.rewrites import found_in
from ..storage.trials import MACHINE, TEST_MACHINES, Scored
from .check import Check
from .computing import OfStudy
from .options import called_with
from .verify_exports import check_exports


@called_with(OfStudy)
def verify(settings: OfStudy) -> list[Check]:  # noqa: D417
    """Load, recount and score every model of a study's front again.

    Every metric is measured on the network that was loaded (`Metric.measure_shipped`). Scores must be equal on the
    machine that took them, with its threads and versions (a score that is no proportion: up to rounding errors);
    elsewhere the stored score must lie within the 95 % interval of the new one (no proportion: within a thousandth).
    Of files that ``export`` wrote and that are still there, bytes, outputs and score are checked, and on the machine
    where it was measured the speed.

    Args:
        task: the one that ``run`` was given.
        out: the study's folder.
        {options}

    Returns:
        All checks, those that do not hold among them.

    Raises:
        RankfrontError: there is no front, or the task is not the study's.
    """
    with showing(settings.progress) as progress:
        result = Result.open(settings.out, settings.storage)
        return _checked(settings.task, result, settings.torch_device(), progress)


def _checked(task: Task, result: Result, device: torch.device, progress: Progress) -> list[Check]:
    trials = result.on_front
    if not trials:
        raise RankfrontError(
            f"{result.folder.path} must hold a front, but no trial of it is complete within the budget yet"
        )
    objective = Objective(task, device=device, found=found_in(result.study, task.model))
    result.check_belongs(objective)
    if (table := latency_table_of(result.study)) is not None:
        objective.costs.predict(LATENCY.name, table.dense, PredictedLatency(table, objective.by_name))
    here = machine(objective.device)
    checks: list[Check] = []
    for done, trial in enumerate(trials):
        progress("verifying the front", done, len(trials))
        found = _checks_of(trial, result, objective, here)
        wrong = sum(not check.holds for check in found)
        outcome = f"{counted(wrong, 'figure')} wrong" if wrong else f"{counted(len(found), 'figure')} hold"
        progress.say(f"[{done + 1}/{len(trials)}] trial {trial.trial}  {outcome}")
        checks += found
    progress("verifying the front", len(trials), len(trials))
    # Where no trial has the score that the budget asks for, or is as fast, none was written as the best.
    best = best_or_none(result)
    chosen = trials[0].trial if best is None else best.trial
    folders = [*([] if best is None else [result.folder.best]), *model_folders(result.folder.finished)]
    checks += [_shipped(result, folder, chosen) for folder in folders]
    return [*checks, *check_exports(result, objective, here, progress)]


def _shipped(result: Result, folder: Path, trial: int) -> Check:
    """Return whether the files to ship are those that were written."""
    name = folder.relative_to(result.folder.path).as_posix()
    try:
        read_model_files_at(folder)
    except RankfrontError as error:
        return Check(trial, name, "", f"{error}; make it again", False)
    return Check(trial, name, "", "as it was written", True)


def _checks_of(trial: Scored, result: Result, objective: Objective, here: dict[str, str]) -> Sequence[Check]:
    try:
        weights = result.weights(trial)
        model = result.load(trial, objective.task.model)
    except RankfrontError as error:
        return [Check(trial.trial, "weights", "", str(error), False)]
    checks: list[Check] = []
    # A trial measures its network before its weights become int8, with the tensors that the file will hold.
    measured = dequantized(model, objective.dense, trial.plan) if result.int8 else model
    subject = Subject(measured, objective.layers.example, objective.costs.saved)
    for name in result.dense.costs:
        stored, metric = trial.metrics.get(name), METRICS[name]
        if stored is not None:
            if isinstance(metric, Metric):
                amount = metric.measure_shipped(weights, subject)
            else:
                amount = objective.costs.amount(name, trial.plan)
            checks.append(Check(trial.trial, name, f"{stored:,}", f"{amount:,}", amount == stored))
    scores = {"validation": trial.score, "test": result.test_score(trial.trial)}
    machines = _machines(result, trial.trial)
    for split, stored in scores.items():
        if stored is not None and getattr(objective.task, split) is not None:
            again = objective.score(model, split)
            if machines[split] == here:
                holds = result.scale.equal(stored, again)
            else:
                holds = result.scale.agrees(stored, again, result.dense.samples[split])
            what = f"{split} {result.scale.name}"
            checks.append(Check(trial.trial, what, result.scale.show(stored), result.scale.show(again), holds))
    return checks


def _machines(result: Result, trial: int) -> dict[str, dict[str, str] | None]:
    """Return split → what a trial's score depends on besides model, data and settings: see `manifest.machine`."""
    return {
        "validation": result.study.get_trials(deepcopy=False)[trial].user_attrs.get(MACHINE),
        "test": result.study.user_attrs.get(TEST_MACHINES, {}).get(str(trial)),
    }
