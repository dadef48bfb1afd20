"""``run``: the whole way from a task to a front."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from optuna.storages import RDBStorage
from optuna.study import Study

from ...objectives.described import counted
from ...objectives.device import to_device
from ...objectives.dry_run import DryRun
from ...objectives.errors import RankfrontError
from ...objectives.export.pretrained import is_pretrained, keep_architecture
from ...objectives.io.files import write_json
from ...objectives.metrics.registry import METRICS
from ...objectives.objective import Objective
from ...objectives.passes import cost_before_finetuning
from ...objectives.phases import LOW_FIDELITY, Phases
from ...objectives.plan import Plan
from ...objectives.task import Task, check_task
from ...objectives.warnings import at_chance
from ..allocation.knapsack import knapsack
from ..report.progress import SCORING_BEFORE, Progress, showing
from ..results.result import Result
from ..samplers.asker import Asker
from ..samplers.problem import Problem
from ..space.budget import check_possible
from ..space.candidates import Candidates
from ..space.layer_table import write_layers
from ..space.space import Space
from ..storage.database import database_of, open_storage, warnings_only
from ..storage.dense import DenseModel, is_noted, note_left_dense
from ..storage.errors import shown_url, storage_errors
from ..storage.existing import TRIALS, read_stored
from ..storage.locks import locks_of
from ..storage.manifest import SENSITIVITY, manifest_of
from ..storage.patience import DatabaseAway, Patience
from ..storage.rewrites import found_before, keep_rewrites
from ..storage.slots import next_slot, occupied
from ..storage.source import keep_source, source_of
from ..storage.studies import check_only_study, create_or_resume
from ..storage.trials import COLUMNS
from ..storage.warnings import keep_warnings
from .final_scores import score_on_test
from .loop import TrialLoop
from .options import called_with
from .outputs import say_outputs, say_what_there_is, write_outputs
from .pruning import PRUNER
from .settings import RunSettings, Settings
from .workers import Worker


@dataclass(frozen=True)
class RunArguments(Settings):
    """The arguments of `run`."""

    task: Task

    def __post_init__(self) -> None:
        """Check every argument by itself."""
        check_task(self.task)
        super().__post_init__()


@called_with(RunArguments)
def run(settings: RunArguments) -> Result:  # noqa: D417
    """Search the ranks of a task's model; go on from where an earlier run in the same folder stopped.

    An option that is not given is the stored study's own, where the folder holds one; else it is the task's, or the
    default. ``timeout``, ``device`` and ``progress`` belong to a run, not to the study. For example
    ``result = rankfront.run(task, budget=["params=5%", "flops=30%"], trials=40)``, then ``result.front`` and more.

    Args:
        task: the trained model, its data, loss and score: ``rankfront.Task(model, train=…, validation=…)``.
        {options}

    Raises:
        RankfrontError: something given cannot be; nothing half-written is left.
        KeyboardInterrupt: the user stopped it; what is finished is stored, and outputs are up to date.
    """
    task, folder = settings.task, settings.folder(settings.task.name)
    with showing(settings.progress) as progress, warnings_only():
        if (name := task.score.scale.name) in COLUMNS:
            raise RankfrontError(f"a score's name must not be a column's of the tables, but got {name!r}")
        folder.check()
        stored = read_stored(folder, settings.storage)
        if stored is not None and "sensitivity" not in stored.identity:
            task = replace(task, sensitivity="none")  # begun before there was any other
        ready = settings.for_task(task, stored)
        found = stored and found_before(stored.rewrites, stored.reasons, stored.layers, task.model)
        if ready.budget.floor is not None:
            ready.budget.floor.check(task.score.scale)
        objective = Objective(task, device=ready.device, seed=ready.seed, cache=folder.cache, found=found)
        check_possible(ready.budget, objective.costs.dense, objective.smallest, objective.left_dense)
        ready.budget.down_to(objective.costs.dense)
        ended = stored is not None and stored.next_slot >= ready.trials
        warnings = [] if ended else DryRun.of(objective).run(folder.path, progress)
        url = database_of(folder.path, ready.storage)
        folder.prepare()
        progress.log_to(folder.log)
        if (known := folder.study_name()) is not None:
            check_only_study([known], task.name, str(folder.path), ready.caller)
        patience = Patience(url, progress.say)
        worker = Worker(folder, locks_of(folder, ready.storage, task.name, patience))
        with storage_errors(url), worker.alive():
            study = worker.exclusively(lambda: _opened(open_storage(url, patience), url, objective, ready, worker))
            _warn(study, warnings, worker, progress)
            alone, why = worker.exclusively(lambda: keep_architecture(folder.architecture, task.model, task.files))
            if not alone and is_pretrained(task.model):
                progress.say(f"to load a result, its dense architecture will be needed, too: {why}")
            return _run_in(study, objective, ready, worker, progress)


def _opened(storage: RDBStorage, url: str, objective: Objective, settings: RunSettings, worker: Worker) -> Study:
    """Return the study, created or gone on with, and write its manifest. To be called under the study lock."""
    task, folder = objective.task, settings.folder
    study = create_or_resume(
        storage,
        task.name,
        task.score.scale,
        settings.objectives[1:],
        {**settings.identity(task), **objective.identity},
        shown_url(url),
        settings.caller,
        only_one=settings.storage is None,
    )
    study.set_user_attr(TRIALS, settings.trials)
    keep_rewrites(study, objective.found)
    keep_source(study, settings.source or source_of(study, folder))
    worker.free_dead(study)
    _write_manifest(study, objective, settings)
    return study


def _write_manifest(study: Study, objective: Objective, settings: RunSettings) -> None:
    write_json(settings.folder.manifest, manifest_of(study, objective.device, settings.storage))


def _warn(study: Study, warnings: list[str], worker: Worker, progress: Progress) -> None:
    for said in warnings:
        progress.say(f"warning: {said}")
    worker.exclusively(lambda: keep_warnings(study, warnings))


def _run_in(study: Study, objective: Objective, settings: RunSettings, worker: Worker, progress: Progress) -> Result:
    task, folder = objective.task, settings.folder

    def write() -> Result:
        return worker.exclusively(lambda: write_outputs(Result(study, folder, task.model)))

    done = len(occupied(study))
    if next_slot(study) >= settings.trials:
        progress.say(f"{counted(done, 'trial')} done, {settings.trials} asked for: rebuilding the outputs")
    else:
        if done:
            progress.say(f"resuming: {done} of {settings.trials} trials done")
        loop = _loop(study, objective, settings, worker, progress)
        try:
            loop.run()
        except KeyboardInterrupt:
            with contextlib.suppress(DatabaseAway):
                progress.say(f"stopped after {len(occupied(study))} of {settings.trials} trials: writing the outputs")
                write()
            raise
    result = write()
    ended = next_slot(study) >= settings.trials and all(t.state.is_finished() for t in occupied(study).values())
    if ended and task.test is not None:
        score_on_test(study, objective, folder, worker, progress)
        result = write()
    say_outputs(result, progress)
    if result.records and not result.scored:
        raise RankfrontError(f"no trial succeeded; the last: {result.records[-1].reason or 'over budget'}")
    return result


def _loop(study: Study, objective: Objective, settings: RunSettings, worker: Worker, progress: Progress) -> TrialLoop:
    """Make everything ready for trials: the layers' decompositions, the plans there are, the sampler."""
    _note_dense_model(study, objective, worker, progress)
    objective.prepare(progress)
    _warn(study, objective.notes, worker, progress)

    def note() -> None:
        study.set_user_attr(SENSITIVITY, objective.sensitivity)
        _write_manifest(study, objective, settings)

    worker.exclusively(note)
    say_what_there_is(objective, settings, progress)
    dense_costs, budget = objective.costs.dense, settings.budget
    candidates = Candidates.of(objective)
    with worker.exclusive():
        write_layers(settings.folder.layers, candidates)
    space = Space(candidates, budget.limits(dense_costs), budget.down_to(dense_costs))
    if knapsack(space.candidates, space.limits) is None:
        raise RankfrontError(f"budget {settings.budget} is kept by no plan: its bounds cannot hold all at once")

    def without_lock(score: Callable[[Plan], float | None]) -> Callable[[Plan], float | None]:
        """Return ``score`` done without the study lock."""

        def shown(plan: Plan) -> float | None:
            progress(SCORING_BEFORE, 0, 1)
            try:
                with phases(LOW_FIDELITY), worker.released():
                    return score(plan)
            finally:
                progress.finish(SCORING_BEFORE)

        return shown

    phases = Phases()
    study.pruner = PRUNER
    dense = DenseModel.of(study)
    problem = Problem(
        space,
        settings.seed,
        settings.trials,
        without_lock(objective.factorized_score),
        without_lock(objective.score_before_finetuning),
        objective.task.score.scale,
        dense.samples["validation"] if dense.scale.proportion else 0,
        settings.objectives[1:],
        cost_before_finetuning(objective.task),
        settings.focus == "front",
    )
    asker = Asker(study, problem, settings.sampler)
    return TrialLoop(study, space, asker, objective, settings, worker, progress, dense, phases)


def _note_dense_model(study: Study, objective: Objective, worker: Worker, progress: Progress) -> None:
    """Score the dense model once; say what it is, and whether it does no better than guessing."""
    task = objective.task
    if not is_noted(study):
        found = objective.scored(to_device(objective.dense, objective.device))
        DenseModel(found.score, objective.costs.dense, {"validation": found.samples}, task.score.scale).note(study)
        if guesses := at_chance(task, objective.dense, found.score, found.samples):
            _warn(study, [guesses], worker, progress)
    note_left_dense(study, objective.left_dense)
    dense = DenseModel.of(study)
    costs = ", ".join(f"{name} {METRICS[name].show(dense.metrics[name])}" for name in dense.costs)
    progress.say(f"dense model: validation {dense.scale.name} {dense.scale.show(dense.score)}, {costs}")
