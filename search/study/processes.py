"""The trials of a run in several processes: how many, and what each is given. See `supervisor`."""

from __future__ import annotations

import time
from collections.abc import Callable

import cloudpickle
import torch

from ...objectives.boundary import sentence
from ...objectives.errors import RankfrontError
from ..parallel.child import Child, Events
from ..parallel.shares import as_many_as_fit, gpus_of, share, threads_each
from ..parallel.supervisor import Supervisor
from ..storage.slots import occupied
from .opening import Opened
from .settings import AUTO
from .worker_process import CODE, Job


def in_processes(opened: Opened, otherwise: Callable[[], object]) -> None:
    """Run a prepared study's trials in as many processes as its run asks for; ``otherwise`` runs them in this one.

    Raises:
        RankfrontError: a worker met an error.
        KeyboardInterrupt: the user stopped it; no worker lives any more.
    """
    settings, began = opened.settings, time.monotonic()
    gpus, threads = gpus_of(settings.device), torch.get_num_threads()
    wanted = as_many_as_fit(gpus) if settings.workers == AUTO else int(settings.workers)
    count = min(wanted, settings.trials - len(occupied(opened.study)))
    if count <= 1:
        otherwise()
        return

    def start(number: int, events: Events) -> Child:
        left = None if settings.timeout_s is None else max(0.001, settings.timeout_s - (time.monotonic() - began))
        environment = share(number - 1, count, threads, gpus)
        return Child(number, CODE, packed(opened, left), environment, events)

    each = "a GPU" if gpus else f"{threads_each(count, threads)} of the CPU's threads"
    opened.progress.say(f"{count} workers, each with {each}")
    with opened.worker.resting():
        Supervisor(start, count, opened.progress).run()


def packed(opened: Opened, timeout_s: float | None = None) -> bytes:
    """Return a worker's job; what the user's script or notebook defines goes with it.

    Raises:
        RankfrontError: the task cannot be given to another process.
    """
    settings = opened.settings
    job = Job(
        study=opened.study.study_name,
        folder=settings.folder,
        storage=settings.storage,
        files=settings.files,
        device=settings.device.type,
        timeout_s=timeout_s,
        task=None if settings.source is not None else opened.objective.task,
        sampler=settings.sampler,
    )
    try:
        return cloudpickle.dumps(job)
    except Exception as error:  # whatever the user's own objects raise
        raise RankfrontError(
            f"workers needs a task that can be sent to other processes, but this one cannot: {sentence(error)}; let a "
            "file make it (def study(): …) and say rankfront run FILE --workers K"
        ) from error
