"""``run``: the whole way from a task to a front."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.study import Study

from ...objectives.errors import RankfrontError
from ...objectives.io.files import read_json, write_json, write_whole
from ...objectives.metrics.registry import METRICS
from ...objectives.objective import Objective
from ...objectives.plan import Plan
from ...objectives.task import Task
from ..allocation.knapsack import knapsack
from ..report.format import trial_in_words
from ..report.page import write_report
from ..report.progress import SCREENING, Progress
from ..results.result import Result
from ..samplers.problem import Problem
from ..samplers.registry import DEFAULT, make_sampler
from ..space.budget import check_possible
from ..space.candidates import Candidates
from ..space.space import Space
from ..storage.database import create_or_resume, database_of, open_storage, storage_errors
from ..storage.dense import DenseModel, is_noted
from ..storage.folder import Folder
from ..storage.manifest import machine, manifest_of
from ..storage.slots import next_slot, occupied
from ..storage.trials import TEST, TEST_MACHINES
from .loop import TrialLoop
from .pruning import PRUNER
from .settings import DEFAULT_OBJECTIVES, RunSettings, Settings
from .workers import Worker


def run(
    task: Task,
    *,
    budget: str | Sequence[str] | None = None,
    objectives: str | Iterable[str] = DEFAULT_OBJECTIVES,
    trials: int | None = None,
    timeout: str | float | None = None,
    out: str | Path | None = None,
    storage: str | None = None,
    sampler: str = DEFAULT,
    device: str = "auto",
    seed: int = 0,
    progress: bool = True,
) -> Result:
    """Search the ranks of a task's model; go on from where an earlier run in the same folder stopped.

    Args:
        task: the trained model, its data, loss and score.
        budget: upper bounds such as ``"params=5%"`` or ``["params=5%", "flops=30%"]``: percentages are of
            the whole dense model, kept.
        objectives: what the front trades: ``accuracy`` and any of ``params``, ``flops``, ``bytes``.
        trials: the study's total, those of earlier runs included.
        timeout: begin no further trial after this time (``"10m"``, or seconds).
        out: the study's folder; ``runs/<task.name>`` if not given.
        storage: a database's URL in place of ``out/study.db``.
        sampler: a name from `samplers.SAMPLERS`.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: of everything random.
        progress: whether to show what is going on.

    Raises:
        RankfrontError: something given cannot be; nothing half-written is left.
        KeyboardInterrupt: the user stopped it; what is finished is stored, and outputs are up to date.
    """
    settings = Settings.checked(
        budget=budget,
        objectives=objectives,
        trials=trials,
        timeout=timeout,
        out=out,
        storage=storage,
        sampler=sampler,
        device=device,
        seed=seed,
    )
    return run_with(task, settings, Progress(shown=progress))


def run_with(task: Task, told: Settings, progress: Progress, source: Mapping[str, Any] | None = None) -> Result:
    """Do what `run` does, with settings already checked; ``source`` says how the task was loaded."""
    settings = told.for_task(task)
    folder = settings.folder
    objective = Objective(task, device=told.device, seed=told.seed, cache=folder.cache)
    check_possible(settings.budget, objective.costs.dense, objective.smallest)
    url = database_of(folder.path, told.storage)
    folder.prepare()
    if folder.manifest.exists() and (other := read_json(folder.manifest).get("study")) != task.name:
        raise RankfrontError(f"{folder.path} holds study {other!r}, not {task.name!r}; give another --out")
    worker = Worker(folder)
    with worker.at_work(), storage_errors(url), progress:
        with worker.alone():
            study = create_or_resume(
                open_storage(url),
                task.name,
                told.objectives,
                {**settings.identity(task), **objective.fingerprint()},
                told.storage or str(folder.path / "study.db"),
                alone=told.storage is None,
                higher_is_better=task.score.scale.higher_is_better,
            )
            worker.free_dead(study)
            write_json(folder.manifest, manifest_of(study, settings.trials, objective.device, source))
        return _run_in(study, objective, settings, worker, progress)


def _run_in(study: Study, objective: Objective, settings: RunSettings, worker: Worker, progress: Progress) -> Result:
    task, folder = objective.task, settings.folder
    done = len(occupied(study))
    if next_slot(study) >= settings.trials:
        progress.say(f"{done} trials are done, {settings.trials} are asked for: rebuilding the outputs")
    else:
        if done:
            progress.say(f"resuming: {done} of {settings.trials} trials done")
        objective.prepare(progress)
        _note_dense_model(study, objective, settings, progress)
        dense = DenseModel.of(study)
        # What only measuring tells is checked after a trial.
        bounds = settings.budget.limits(objective.costs.dense)
        limits = {name: limit for name, limit in bounds.items() if name in objective.costs.names}
        space = Space(Candidates.of(objective), limits)
        if knapsack(space.candidates, limits) is None:
            raise RankfrontError(f"budget {settings.budget} is kept by no plan: its bounds cannot hold all at once")

        def screened(score: Callable[[Plan], float | None]) -> Callable[[Plan], float | None]:
            def shown(plan: Plan) -> float | None:
                progress(SCREENING, 0, 1)
                try:
                    with worker.aside():
                        return score(plan)
                finally:
                    progress.finish(SCREENING)

            return shown

        study.pruner = PRUNER
        study.sampler = make_sampler(
            settings.told.sampler,
            Problem(
                space,
                settings.told.seed,
                settings.trials,
                screened(objective.bare),
                screened(objective.untrained),
                objective.samples,
            ),
        )
        try:
            TrialLoop(study, space, objective, settings, worker, progress, dense).run()
        except KeyboardInterrupt:
            progress.say(f"stopped after {len(occupied(study))} of {settings.trials} trials: writing the outputs")
            with worker.alone():
                write_outputs(Result(study, folder, task.model))
            raise
    with worker.alone():
        result = write_outputs(Result(study, folder, task.model))
        ended = all(t.state.is_finished() for t in occupied(study).values()) and next_slot(study) >= settings.trials
        if ended and _score_on_test(study, objective, folder, worker, progress):
            result = write_outputs(Result(study, folder, task.model))
    _say_outputs(result, progress)
    if result.records and not result.scored:
        raise RankfrontError(f"no trial succeeded; the last: {result.records[-1].reason or 'over budget'}")
    return result


def _note_dense_model(study: Study, objective: Objective, settings: RunSettings, progress: Progress) -> None:
    """Score the dense model once, and say what there is to compress."""
    task = objective.task
    if not is_noted(study):
        splits = {name: getattr(task, name) for name in ("validation", "test")}
        samples = {name: len(split) for name, split in splits.items() if split is not None}
        DenseModel(objective.score(objective.dense), objective.costs.dense, samples, task.score.scale).note(study)
    dense = DenseModel.of(study)
    costs = ", ".join(f"{name} {METRICS[name].show(dense.metrics[name])}" for name in dense.costs)
    progress.say(f"dense model: validation {dense.scale.name} {dense.scale.show(dense.score)}, {costs}")
    count = len(objective.decompositions.choices)
    progress.say(f"{count} layers to factorize, budget {settings.budget}, sampler {settings.told.sampler}")
    for name, reason in list(objective.layers.left_dense.items())[:8]:
        progress.say(f"  left dense: {name} ({reason})")


def _score_on_test(study: Study, objective: Objective, folder: Folder, worker: Worker, progress: Progress) -> bool:
    """Score the finished front on the test split, each of its trials once; returns whether anything was new."""
    if objective.task.test is None:
        return False
    result = Result(study, folder)
    wanted = {str(t.trial): t for t in result.retained}
    missing = [name for name in ("dense", *wanted) if name not in study.user_attrs.get(TEST, {})]
    for done, name in enumerate(missing):
        progress("scoring the front on the test split", done, len(missing))
        if name in study.user_attrs.get(TEST, {}):
            continue  # by another worker meanwhile
        model = objective.dense
        if name != "dense":
            trial = wanted[name]
            model = result.load(trial, objective.task.model)
        with worker.aside():
            try:
                score = objective.score(model, "test")
            except Exception as error:  # the user's score may raise anything
                progress.say(f"no test score for {'trial ' * (name != 'dense')}{name}: {type(error).__name__}: {error}")
                score = None
        for attribute, value in ((TEST_MACHINES, machine(objective.device)), (TEST, score)):
            study.set_user_attr(attribute, {**study.user_attrs.get(attribute, {}), name: value})
    if missing:
        progress("scoring the front on the test split", len(missing), len(missing))
    return bool(missing)


def write_outputs(result: Result) -> Result:
    """Write ``front.csv``, ``best/`` (where a trial keeps the budget) and ``report.html``."""
    front = result.front
    write_whole(result.folder.front, lambda temporary: front.to_csv(temporary, index=False))
    if result.retained:
        result.export(result.folder.best)
    write_report(result)
    return result


def _say_outputs(result: Result, progress: Progress) -> None:
    folder = result.folder
    if not result.retained:
        progress.say(f"no trial is complete within the budget   page: {folder.report}")
        return
    best = result.best_trial()
    told = trial_in_words(best.score, best.metrics, result.dense)
    progress.say(f"best within the budget: trial {best.trial}, validation {told}")
    count = len(result.front)
    progress.say(f"{count} trial{'s' * (count != 1)} on the front: {folder.front}")
    progress.say(f"best model: {folder.best}   page: {folder.report}")
