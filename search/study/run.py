"""``run``: the whole way from a task to a front."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from ...objectives.described import counted
from ...objectives.errors import RankfrontError
from ...objectives.task import Task, check_task
from ..report.progress import TRIALS, showing
from ..results.result import Result
from ..storage.database import warnings_only
from ..storage.patience import DatabaseAway
from ..storage.slots import next_slot, occupied
from .final_scores import score_on_test
from .measuring import measure_front
from .opening import Opened, opened
from .options import called_with
from .outputs import say_outputs, write_outputs
from .preparing import prepared
from .processes import in_processes, job_of, packed
from .settings import Settings
from .shared_files import fetch_weights, push_outputs
from .slicing import Slices


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
    default. ``timeout``, ``device``, ``workers`` and ``progress`` belong to a run, not to the study. For example
    ``result = rankfront.run(task, budget=["params=5%", "flops=30%"], trials=40)``, then ``result.front`` and more.

    Args:
        task: the trained model, its data, loss and score: ``rankfront.Task(model, train=…, validation=…)``.
        {options}

    Raises:
        RankfrontError: something given cannot be; nothing half-written is left.
        KeyboardInterrupt: the user stopped it; what is finished is stored, and outputs are up to date.
    """
    with (
        showing(settings.progress) as progress,
        warnings_only(),
        opened(settings.task, settings, progress) as study,
    ):
        return _searched(study)


def _searched(opened: Opened) -> Result:
    """Run the trials that are missing; return the result, its outputs written."""
    study, task, settings, folder = opened.study, opened.objective.task, opened.settings, opened.settings.folder
    worker, progress = opened.worker, opened.progress

    def write() -> Result:
        if opened.files is not None:
            fetch_weights(opened.files, Result(study, folder))  # most of them, while others go on
        return worker.exclusively(written)

    def written() -> Result:
        result = Result(study, folder, task.model)
        if opened.files is None:
            return write_outputs(result)
        fetch_weights(opened.files, result)
        push_outputs(opened.files, write_outputs(result))
        return result

    done, loop = len(occupied(study)), None
    if next_slot(study) >= settings.trials:
        progress.say(f"{counted(done, 'trial')} done, {settings.trials} asked for: rebuilding the outputs")
        if settings.shared:
            loop = prepared(opened)
    else:
        if done:
            progress.say(f"resuming: {done} of {settings.trials} trials done")
        if settings.workers != 1 or settings.cluster is not None:
            packed(job_of(opened))  # so that a task that cannot be sent is told at once
        loop = prepared(opened)
        try:
            in_processes(opened, otherwise=loop.run)
        except KeyboardInterrupt:
            progress.finish(TRIALS)
            with contextlib.suppress(DatabaseAway):
                progress.say(f"stopped after {len(occupied(study))} of {settings.trials} trials: writing the outputs")
                write()
            raise
        progress.finish(TRIALS)
    result = write()
    idle = all(trial.state.is_finished() for trial in occupied(study).values())
    ended = idle and next_slot(study) >= settings.trials
    if ended and task.test is not None:
        score_on_test(study, opened.objective, folder, worker, progress)
        result = write()
    if idle and settings.engine is not None:  # of a run that its time has stopped, too: what ships keeps the budget
        measure_front(result, task, settings.engine, worker, progress)
        result = write()
    if loop is not None and opened.objective.shared is not None:
        result.slices = Slices(opened.objective, loop.space)
    say_outputs(result, progress)
    if result.records and not result.scored:
        raise RankfrontError(f"no trial succeeded; the last: {result.records[-1].reason or 'over budget'}")
    return result
