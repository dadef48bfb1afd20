"""A small study in processes of their own that can be killed, stopped and starved."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from rankfront import FineTune, RankfrontError, Result, Task, run
from rankfront.search.report.progress import Progress
from tests.conftest import blobs, trained_perceptron

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["torch._dynamo", "rankfront", "tests.faults.processes"])  # imports take seconds


def small_task(**changes: Any) -> Task:
    """A task whose trials take milliseconds, the same in every process."""
    torch.set_num_threads(1)
    task = Task(
        trained_perceptron(),
        blobs(200, 1),
        blobs(200, 2),
        blobs(200, 3),
        name="blobs",
        finetune=FineTune(epochs=2, lr=1e-2, batch_size=50),
        calibration=100,
        kinds=("svd", "tt"),
    )
    return replace(task, **changes)


def study(out: Path, trials: int, prepare: Callable[[], None] | None = None, sampler: str = "directions") -> None:
    """Run the small study, after something else; a `RankfrontError` is exit code 2, and lies in ``OUT.err``."""
    with out.with_suffix(".err").open("w") as said:
        task = small_task()
        if prepare is not None:
            prepare()
        try:
            run(task, out=out, trials=trials, budget="params=70%", device="cpu", sampler=sampler, progress=False)
        except RankfrontError as error:
            said.write(str(error))
            said.flush()
            sys.exit(2)
        except Exception:
            said.write(traceback.format_exc())
            raise


class KillAtCall:
    """Kill the process without warning when so many Python functions were called."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self) -> None:
        """Start counting."""
        left = self.calls

        def count(frame: FrameType, event: str, argument: object) -> None:
            nonlocal left
            left -= event == "call"
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)


class Log(Progress):
    """Appends every line that stays to a file; in its first trial it waits for others, and may send itself a signal.

    Args:
        path: the file.
        others: the logs of workers that must be ready for trials, too.
        signal_: the signal; 0: none.
    """

    def __init__(self, path: Path, others: Sequence[Path] = (), signal_: int = 0) -> None:
        super().__init__(shown=False)
        self._path, self._others, self._signal = path, others, signal_
        self._waits = True

    def say(self, line: str = "") -> None:
        """Append a line."""
        with self._path.open("a") as file:
            file.write(f"{line}\n")

    def __call__(self, what: str, done: int, total: int) -> None:
        """Wait and send the signal, where a trial is under way."""
        if self._waits and "] trial " in what:
            self._waits = False
            while not all(log.exists() and "layers to factorize" in log.read_text() for log in self._others):
                os.sched_yield()
            os.kill(os.getpid(), self._signal)


def study_in(storage: str, out: Path, log: Path, trials: int, others: Sequence[Path] = (), signal_: int = 0) -> None:
    """Run the small study in a database; see `Log`."""
    progress = Log(log, others, signal_)
    run(small_task(), out=out, storage=storage, trials=trials, device="cpu", sampler="knapsack", progress=progress)


def start(target: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start a process that does this."""
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def code_of(target: Callable[..., object], *arguments: object) -> int | None:
    """Return the exit code of a process that does this; negative: the signal that ended it."""
    process = start(target, *arguments)
    process.join(300)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def front_of(out: Path, storage: str | None = None) -> list[tuple[object, ...]]:
    """Return the front, but for the numbers of its trials."""
    columns = ["accuracy", "params", "flops", "bytes", "test_accuracy", "runs"]
    return [tuple(row) for row in Result.open(out, storage).front[columns].itertuples(index=False)]


def study_that_counts(out: Path, log: Path, trials: int, die: bool = False) -> None:
    """Run a small study whose score notes each network that it meets on the test split; it may die at the second."""
    noted = 0

    def score(outputs: Any, targets: Any) -> float:
        nonlocal noted
        if len(targets) == 50:
            noted += 1
            if die and noted == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            with log.open("a") as file:
                file.write(f"{outputs.double().sum().item()}\n")
        return float((outputs.argmax(1) == targets).double().mean())

    task = small_task(score=score, test=blobs(50, 3))
    run(task, out=out, trials=trials, device="cpu", sampler="knapsack", progress=False)
