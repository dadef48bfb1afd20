"""Workers of a made-up study whose trials sleep, each a thread, on servers that are started here (see `scaling.py`)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import fmean
from typing import Any
from unittest.mock import patch

import numpy as np
import optuna
from long_study import Stub, stub_study

from rankfront.objectives.phases import PROPOSING, STORING, Phases
from rankfront.objectives.plan import Plan
from rankfront.search.samplers.asker import Asker
from rankfront.search.storage.database import open_storage
from rankfront.search.storage.locks import locks_of
from rankfront.search.storage.trials import PHASES
from rankfront.search.study.loop import TrialLoop
from rankfront.search.study.workers import WORKER, Worker
from tests.mysql import MySQLServer
from tests.postgres import Server, binaries

LAYERS = 60
"""Of the made-up network."""


@contextlib.contextmanager
def database(kind: str) -> Iterator[str | None]:
    """Yield the URL of an empty database on a server of its own; None for SQLite, which lies in the study's folder."""
    if kind == "SQLite":
        yield None
        return
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    server = Server(programs, connections=1000) if kind == "PostgreSQL" else MySQLServer()
    try:
        yield server.new_database("scaling")
    finally:
        server.remove()


@contextlib.contextmanager
def calling(before: Callable[[int], None]) -> Iterator[None]:
    """Have ``before(seed)`` called when a made-up trial begins."""
    own = Stub.__call__

    def call(self: Stub, plan: Plan, seed: int, **keywords: Any) -> Any:
        before(seed)
        return own(self, plan, seed, **keywords)

    with patch.object(Stub, "__call__", call):
        yield


def sleeping(count: int, trials: int, mean_s: float) -> dict[str, Any]:
    """Return how a study of so many workers goes whose trials sleep for a log-normal time (± 20 %)."""
    awake: dict[int, float] = {}
    between: dict[int, list[float]] = {}
    errors: list[BaseException] = []

    def sleep(seed: int) -> None:
        between[threading.get_ident()].append(time.monotonic() - awake[threading.get_ident()])
        time.sleep(mean_s * float(np.random.default_rng(seed).lognormal(-0.02, 0.2)))
        awake[threading.get_ident()] = time.monotonic()

    with calling(sleep), database("PostgreSQL") as url, stub_study(LAYERS, trials, url) as first:
        ready = threading.Barrier(count)

        def work() -> None:
            try:
                loop = another(first, url or "")
                with loop.worker.alive():
                    between[threading.get_ident()] = []
                    ready.wait()
                    awake[threading.get_ident()] = time.monotonic()
                    loop.run()
            except BaseException as error:
                errors.append(error)
                ready.abort()

        threads = [threading.Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        trials_of: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
        for trial in first.study.get_trials():
            trials_of[trial.user_attrs[WORKER]].append(trial.user_attrs[PHASES])
    # All workers begin at the same moment, so their first turns come at once.
    later = [phases for of in trials_of.values() for phases in of[1:]]
    return {
        "workers": count,
        "trials": sum(map(len, trials_of.values())),
        "first": fmean(of[0][PROPOSING] for of in trials_of.values()),
        "turn": fmean(phases.get(PROPOSING, 0.0) for phases in later),
        "storing": fmean(phases.get(STORING, 0.0) for phases in later),
        "lost": fmean(seconds for of in between.values() for seconds in of[1:]) / mean_s,
        "seconds": mean_s,
    }


def another(first: TrialLoop, url: str) -> TrialLoop:
    """Return the loop of another worker: with its own connections, and what the first one has prepared."""
    folder, name = first.settings.folder, first.study.study_name
    study = optuna.load_study(study_name=name, storage=open_storage(url))
    score = first.objective.score_before_finetuning  # takes no time, so the study lock is not released for it
    problem = replace(first.asker.problem, factorized_score=score, score_before_finetuning=score)
    asker = Asker(study, problem, first.settings.sampler)
    return replace(first, study=study, worker=Worker(folder, locks_of(folder, url, name)), phases=Phases(), asker=asker)
