"""The trials of a run in several processes: where, how many, and what each is given. See `supervisor`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import cloudpickle

from ...objectives.boundary import sentence
from ...objectives.errors import RankfrontError
from ..parallel.handle import Events, Handle
from ..parallel.machine import Machine
from ..parallel.place import Place
from ..parallel.supervisor import Supervisor
from ..storage.errors import without_password
from ..storage.folder import Folder
from ..storage.remote_files import shown_files
from ..storage.server import server_of
from ..storage.slots import occupied
from .cluster import AUTO, Cluster
from .opening import Opened
from .worker_process import CODE, Job


def in_processes(opened: Opened, otherwise: Callable[[], object]) -> None:
    """Run a prepared study's trials in as many processes as its run asks for; ``otherwise`` runs them in this one.

    Raises:
        RankfrontError: a worker met an error.
        KeyboardInterrupt: the user stopped it; no worker lives any more.
    """
    settings, began = opened.settings, time.monotonic()
    with _placed(opened) as (place, job):
        wanted = place.room() if settings.workers == AUTO else int(settings.workers)
        count = min(wanted, settings.trials - len(occupied(opened.study)))
        if count <= (1 if settings.cluster is None else 0):
            otherwise()
            return

        def start(number: int, events: Events) -> Handle:
            left = None if settings.timeout_s is None else max(0.001, settings.timeout_s - (time.monotonic() - began))
            return place.start(number, count, packed(replace(job, timeout_s=left)), events)

        on = "" if settings.cluster is None else f" on {settings.cluster.name}"
        opened.progress.say(f"{count} worker{'s' * (count > 1)}{on}, each with {place.shown(count)}")
        with opened.worker.resting():
            Supervisor(start, count, opened.progress).run()


@contextlib.contextmanager
def _placed(opened: Opened) -> Iterator[tuple[Place, Job]]:
    """Yield where workers run, and what they do there."""
    settings, job = opened.settings, job_of(opened)
    cluster = settings.cluster
    if cluster is None:
        yield Machine(CODE, settings.device), job
    elif cluster.name == "ray":
        from ..parallel.ray_cluster import RayCluster, connected

        with connected(cluster.address):
            place = RayCluster(CODE, cluster.resources)
            yield place, replace(job, device=place.device if cluster.device == "auto" else cluster.device)
    else:
        yield _array(job, cluster)


def _array(job: Job, cluster: Cluster) -> tuple[Place, Job]:
    """Return the jobs of SLURM, which lie in files: no secret may be in them."""
    from ..parallel.slurm_array import SlurmArray

    if job.files is not None and shown_files(job.files) != job.files:
        raise RankfrontError(
            "files must hold no user, password or option with cluster slurm, which writes jobs to files: the store's "
            "own credentials (~/.aws/credentials, the environment) are taken"
        )
    assert job.storage is not None
    server = server_of(job.storage)
    storage, password = without_password(job.storage)
    secrets = {} if password is None or server is None else {server.password_variable: password}
    place = SlurmArray(CODE, job.folder.path / "slurm", cluster.resources, secrets)
    return place, replace(job, storage=storage, device=cluster.device)


def job_of(opened: Opened) -> Job:
    """Return what a worker of this run is to do."""
    settings = opened.settings
    return Job(
        study=opened.study.study_name,
        folder=Folder(settings.folder.path.resolve()),
        storage=settings.storage,
        files=settings.files,
        device=settings.device.type,
        timeout_s=None,
        task=None if settings.source is not None else opened.objective.task,
        sampler=settings.sampler,
    )


def packed(job: Job) -> bytes:
    """Return a worker's job; what the user's script or notebook defines goes with it.

    Raises:
        RankfrontError: the task cannot be given to another process.
    """
    try:
        return cloudpickle.dumps(job)
    except Exception as error:  # whatever the user's own objects raise
        raise RankfrontError(
            f"workers needs a task that can be sent to other processes, but this one cannot: {sentence(error)}; let a "
            "file make it (def study(): …) and say rankfront run FILE --workers K"
        ) from error
