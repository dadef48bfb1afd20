"""Workers as the jobs of a SLURM array, submitted by submitit: an implementation of `place.Place`.

Each job starts the same process on its node as `Child` does here, and appends what that says to a file in the study's
folder, which all nodes share. A job that is preempted, or whose time is over, stops its process, which frees its trial,
and is queued again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import submitit
from submitit.helpers import DelayedSubmission

from ...objectives.boundary import sentence
from ...objectives.errors import RankfrontError
from .child import Child
from .events import Event
from .handle import Events
from .shares import environment_of

EXECUTOR = "slurm"
"""submitit's name of it."""

POLL_S = 0.5
"""How often the file of a job is looked at."""

NOT_ITS_FAULT = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "TIMEOUT")
"""States of a job after which another takes its place, however far it came."""


class SlurmArray:
    """Submits workers.

    Args:
        code: the Python statements that each worker runs.
        folder: a folder that all nodes share, for the jobs' files.
        parameters: what each worker asks for, by sbatch's names: ``time`` in minutes (must be given), ``partition`` …
        secrets: environment variables that jobs need, and that are written to no file.
    """

    def __init__(
        self, code: str, folder: Path, parameters: Mapping[str, Any], secrets: Mapping[str, str] | None = None
    ) -> None:
        self._code, self._folder, self._secrets = code, folder.resolve(), secrets or {}
        self._parameters = {"job_name": "rankfront", **parameters}
        self._array: dict[int, SlurmJob] | None = None
        try:
            self._executor = submitit.AutoExecutor(self._folder, cluster=EXECUTOR)
            others = {f"slurm_{name}": value for name, value in self._parameters.items() if name != "time"}
            self._executor.update_parameters(timeout_min=parameters["time"], **others)
        except Exception as error:  # submitit raises RuntimeError where there is no SLURM, ValueError for a parameter …
            raise RankfrontError(f"cluster slurm cannot take jobs: {sentence(error)}") from error

    def room(self) -> int:
        """Refuse to guess."""
        raise RankfrontError("workers must be a number with cluster slurm: it does not say how many it has room for")

    def shown(self, count: int) -> str:
        """Return what each worker asks for."""
        return ", ".join(f"{name} {value}" for name, value in self._parameters.items())

    def start(self, number: int, count: int, job: bytes, events: Events) -> SlurmJob:
        """Submit all workers as one array at the first call; later calls submit one that takes another's place."""
        if self._array is None:
            self._array = self._submitted(range(1, count + 1), job)
        submitted = self._array.pop(number, None) or self._submitted([number], job)[number]
        submitted.watch(events)
        return submitted

    def _submitted(self, numbers: Iterable[int], job: bytes) -> dict[int, SlurmJob]:
        """Submit workers of these numbers; returns them by number."""
        tasks = [self._task(number, job) for number in numbers]
        try:
            with _environment(self._secrets), self._executor.batch():
                jobs = [self._executor.submit(task) for task in tasks]
        except Exception as error:  # what sbatch said
            raise RankfrontError(f"cluster slurm refuses the job: {sentence(error)}") from error
        return {task.number: SlurmJob(task.number, made, task.said) for task, made in zip(tasks, jobs, strict=True)}

    def _task(self, number: int, job: bytes) -> ArrayJob:
        cpus = int(self._parameters.get("cpus_per_task", 1))
        said = self._folder / f"worker-{number}-{time.time_ns()}.events"
        return ArrayJob(number, self._code, job, environment_of(cpus), tuple(sys.path), said)


@dataclass
class ArrayJob:
    """What one job of the array does; submitit writes it to a file, and calls it on a node."""

    number: int
    code: str
    job: bytes
    environment: Mapping[str, str]
    path: tuple[str, ...]
    said: Path
    """Takes the events, a line of JSON each."""
    child: Child | None = None

    def __call__(self) -> None:
        """Run the worker's process to its end."""
        sys.path[:] = [*self.path, *(folder for folder in sys.path if folder not in self.path)]
        self._events: Events = SimpleQueue()
        self.child = Child(self.number, self.code, self.job, self.environment, self._events)
        for number in (signal.SIGTERM, signal.SIGINT):  # scancel's, and that of submitit's local executor
            signal.signal(number, lambda *_: self.child and self.child.stop())
        with self.said.open("ab", buffering=0) as said:
            event = [""]
            while event[0] != Event.EXIT:
                _, event = self._events.get()
                said.write(json.dumps(event).encode() + b"\n")

    def checkpoint(self) -> DelayedSubmission:
        """Stop the process; return what the job does when it runs again."""
        if self.child is not None:
            self.child.stop()
            while self._events.get()[1][0] != Event.EXIT:
                pass
        return DelayedSubmission(replace(self, child=None))


class SlurmJob:
    """A job, as its supervisor sees it.

    Args:
        number: the worker's, from 1.
        job: submitit's.
        said: the file that its events come through.
    """

    def __init__(self, number: int, job: submitit.Job[Any], said: Path) -> None:
        self.number = number
        self._job, self._said = job, said

    def watch(self, events: Events) -> None:
        """Pass on what the worker says, and how it ended, from now on."""
        threading.Thread(target=self._relay, args=(events,), daemon=True).start()

    def stop(self) -> None:
        """Cancel it: SLURM asks its process to end, and ends it half a minute later."""
        self._job.cancel(check=False)

    def kill(self) -> None:
        """Cancel it again."""
        self._job.cancel(check=False)

    def _relay(self, events: Events) -> None:
        read, ended = 0, False
        while not ended:
            ended = self._job.done()
            if not ended:
                time.sleep(POLL_S)
            said = self._said.read_bytes()[read:] if self._said.exists() else b""
            whole = said[: said.rfind(b"\n") + 1]
            read += len(whole)
            for line in whole.splitlines():
                event = json.loads(line)
                events.put((self, event))
                if event[0] == Event.EXIT:
                    self._said.unlink()
                    return
        state = self._job.state
        events.put((self, [Event.LOST if state in NOT_ITS_FAULT else Event.EXIT, f"SLURM's state {state}"]))


@contextlib.contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """Have more variables in this process's environment."""
    before = {name: os.environ[name] for name in more if name in os.environ}
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            del os.environ[name]
        os.environ.update(before)
