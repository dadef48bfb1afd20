"""Opening the study of a task: checked by a dry run, created in its database or gone on with, as one of its workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from optuna.storages import RDBStorage
from optuna.study import Study

from ...objectives.dry_run import DryRun
from ...objectives.errors import RankfrontError
from ...objectives.export.pretrained import is_pretrained, keep_architecture
from ...objectives.io.files import write_json
from ...objectives.objective import Objective
from ...objectives.task import Task
from ..report.progress import Progress
from ..space.budget import check_possible
from ..storage.database import database_of, open_storage
from ..storage.errors import shown_url, storage_errors
from ..storage.existing import TRIALS, read_stored
from ..storage.locks import locks_of
from ..storage.manifest import manifest_of
from ..storage.patience import Patience
from ..storage.remote_files import RemoteFiles
from ..storage.rewrites import found_before, keep_rewrites
from ..storage.source import keep_source, source_of
from ..storage.studies import check_only_study, create_or_resume
from ..storage.trials import COLUMNS
from ..storage.warnings import keep_warnings
from .run_settings import RunSettings
from .settings import Settings
from .shared_files import fetch_decompositions
from .workers import Worker


@dataclass(frozen=True)
class Opened:
    """A study, and what the present process works on it with."""

    study: Study
    objective: Objective
    settings: RunSettings
    worker: Worker
    progress: Progress
    files: RemoteFiles | None
    """What machines without a common folder share."""

    def warn(self, warnings: list[str]) -> None:
        """Say warnings, and keep them with the study."""
        for said in warnings:
            self.progress.say(f"warning: {said}")
        self.worker.exclusively(lambda: keep_warnings(self.study, warnings))

    def write_manifest(self) -> None:
        """Write the study's manifest. To be called under the study lock."""
        manifest = manifest_of(self.study, self.objective.device, self.settings.storage)
        write_json(self.settings.folder.manifest, manifest)


@contextlib.contextmanager
def opened(task: Task, settings: Settings, progress: Progress, *, first: bool = True) -> Iterator[Opened]:
    """Open the study of a task; in the context the present process is one of its living workers.

    Args:
        task: the model, its data, loss and score.
        settings: what is asked for; the rest is the stored study's own, or the task's.
        progress: shows what is going on.
        first: whether a dry run comes first; another process has done it where not.

    Raises:
        RankfrontError: something given cannot be; nothing half-written is left.
    """
    folder = settings.folder(task.name)
    if (name := task.score.scale.name) in COLUMNS:
        raise RankfrontError(f"a score's name must not be a column's of the tables, but got {name!r}")
    folder.check()
    stored = read_stored(folder, settings.storage, task.name)
    if stored is not None and "sensitivity" not in stored.identity:
        task = replace(task, sensitivity="none")  # begun before there was any other
    ready = settings.for_task(task, stored)
    if stored is not None:
        ready.check_place(stored.identity)
    found = stored and found_before(stored.rewrites, stored.reasons, stored.layers, task.model)
    if ready.budget.floor is not None:
        ready.budget.floor.check(task.score.scale)
    objective = Objective(
        task, device=ready.device, seed=ready.seed, cache=folder.cache, found=found, nested=ready.shared
    )
    known_yet = ready.budget.on(objective.costs.dense)  # latency is not, before layers are measured
    check_possible(known_yet, objective.costs.dense, objective.smallest, objective.left_dense)
    known_yet.down_to(objective.costs.dense)
    ended = stored is not None and stored.next_slot >= ready.trials
    warnings = [] if ended or not first else DryRun.of(objective).run(folder.path, progress)
    url = database_of(folder.path, ready.storage)
    folder.prepare()
    progress.log_to(folder.log)
    if (files := None if ready.files is None else RemoteFiles(ready.files, task.name)) is not None:
        fetch_decompositions(files, folder)
    if (known := folder.study_name()) is not None:
        check_only_study([known], task.name, str(folder.path), ready.caller)
    patience = Patience(url, progress.say)
    worker = Worker(folder, locks_of(folder, ready.storage, task.name, patience))

    def found_or_made() -> Opened:
        folder.check_storage(ready.storage)  # the study may have been moved meanwhile
        study = _created(open_storage(url, patience), url, objective, ready)
        worker.free_dead(study, doubtful=worker.is_alone())
        made = Opened(study, objective, ready, worker, progress, files)
        made.write_manifest()
        return made

    with storage_errors(url), worker.alive():
        made = worker.exclusively(found_or_made)
        made.warn(warnings)
        alone, why = worker.exclusively(lambda: keep_architecture(folder.architecture, task.model, task.files))
        if not alone and is_pretrained(task.model):
            progress.say(f"to load a result, its dense architecture will be needed, too: {why}")
        yield made


def _created(storage: RDBStorage, url: str, objective: Objective, settings: RunSettings) -> Study:
    """Return the study, created or gone on with."""
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
    return study
