"""The front's scores on the test split, taken once a network when the study has ended.

One worker scores at a time, under the test lock. It first reads which scores are there, so no network is scored twice
by workers that live; where one dies, its lock is free and another goes on with what is missing. A worker that ends
waits for the lock, so that its result holds the others' scores. Where the lock is lost with a database's connection,
another may score the same networks meanwhile; what is missing then is looked for again. Where scoring fails nothing is
stored: the next run tries again.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

from optuna.study import Study

from ...objectives.objective import Objective
from ..report.progress import Progress
from ..results.result import Result
from ..storage.dense import note_samples
from ..storage.errors import LockLost
from ..storage.folder import Folder
from ..storage.manifest import machine
from ..storage.trials import TEST, TEST_INTERVALS, TEST_MACHINES
from .workers import Worker

SCORING = "scoring the front on the test split"


def score_on_test(study: Study, objective: Objective, folder: Folder, worker: Worker, progress: Progress) -> None:
    """Score the finished front on the test split, where there is one. Not to be called under the study lock."""
    while objective.task.test is not None:
        with contextlib.suppress(LockLost), worker.testing():
            _score_missing(study, objective, folder, worker, progress)
            return


def _score_missing(study: Study, objective: Objective, folder: Folder, worker: Worker, progress: Progress) -> None:
    result = Result(study, folder)
    wanted = {"dense": None, **{str(trial.trial): trial for trial in result.retained}}
    scores = study.user_attrs.get(TEST, {})
    missing = [name for name in wanted if scores.get(name) is None]
    if missing:
        worker.exclusively(lambda: study.set_user_attr(TEST, scores))  # so that tables have a column
    for done, name in enumerate(missing):
        progress(SCORING, done, len(missing))
        trial = wanted[name]
        try:
            model = objective.dense if trial is None else result.load(trial, objective.task.model)
            found = objective.scored(model, "test")
            values = {TEST_MACHINES: machine(objective.device), TEST_INTERVALS: found.interval, TEST: found.score}
        except Exception as error:  # the user's score may raise anything
            what = name if trial is None else f"trial {name}"
            progress.say(f"no test score for {what}: {type(error).__name__}: {error}")
            continue
        worker.exclusively(functools.partial(_note, study, name, found.samples, values))
    if missing:
        progress(SCORING, len(missing), len(missing))


def _note(study: Study, name: str, samples: int, values: Mapping[str, Any]) -> None:
    """Store what was found for a network, beside what others found."""
    note_samples(study, "test", samples)
    for attribute, value in values.items():
        study.set_user_attr(attribute, {**study.user_attrs.get(attribute, {}), name: value})
