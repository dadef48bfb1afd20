"""The process of a worker that ``run`` has started: it runs trials of a prepared study until none is left.

It loads the task as `rankfront worker` does; a task that was made in Python comes with the job. Its supervisor writes
the outputs.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ...objectives.boundary import told
from ...objectives.task import Task
from ..parallel.channel import Channel
from ..parallel.lifeline import end_with_supervisor, own_streams, read_job
from ..storage.database import database_of, warnings_only
from ..storage.errors import storage_errors
from ..storage.folder import Folder
from ..storage.slots import next_slot
from ..storage.source import source_of
from ..storage.studies import load_existing
from .loading import joined_task
from .opening import opened
from .preparing import prepared
from .settings import Settings

CODE = f"from {__name__} import main; main()"
"""What the process runs."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker is to do."""

    study: str
    folder: Folder
    storage: str | None
    files: str | None
    device: str
    timeout_s: float | None
    task: Task | None
    """None for one that is loaded again as the study says."""
    sampler: Any


def main() -> None:
    """Do the job that comes through the standard input; see `child`."""
    given, tell = own_streams()
    channel = Channel(tell)
    try:
        signal.signal(signal.SIGTERM, _stop)
        job = pickle.loads(read_job(given))
        end_with_supervisor(given)
        with warnings_only():
            work(job, channel)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)
    except Exception as error:
        channel.fail(str(told(error)))
        sys.exit(2)


def work(job: Job, channel: Channel) -> None:
    """Run trials until none is left or the time is over.

    Raises:
        RankfrontError: what ends the whole study.
    """
    with _task(job, channel) as (task, more):
        settings = Settings(
            out=job.folder.path,
            storage=job.storage,
            files=job.files,
            device=job.device,
            timeout=job.timeout_s,
            sampler=job.sampler,
            keep_latency=True,
            progress=channel,
            **more,
        )
        with opened(task, settings, channel, first=False) as study:
            if next_slot(study.study) < study.settings.trials:
                loop = prepared(study)
                channel.ready()
                loop.run()


@contextlib.contextmanager
def _task(job: Job, channel: Channel) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Yield the task, and the settings that tell how it was loaded."""
    if job.task is not None:
        yield job.task, {}
        return
    url = database_of(job.folder.path, job.storage)
    with storage_errors(url):
        study = load_existing(url, job.study)
        source = source_of(study, job.folder)
    with joined_task(study, job.folder, job.files, None, job.device, channel) as task:
        yield task, {"source": source}


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
