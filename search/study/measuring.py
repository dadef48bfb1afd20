"""Whole networks, measured in turn with the dense one: for ``speed``, and for the front when a study has ended."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from ...objectives.data.calling import Inputs
from ...objectives.engines.engine import Engine, Runner
from ...objectives.engines.pairs import SECONDS, measure_pairs
from ...objectives.engines.registry import ENGINES
from ...objectives.engines.setting import EngineSetting
from ...objectives.errors import RankfrontError
from ...objectives.model.copying import copied
from ...objectives.model.mode import in_eval
from ...objectives.task import Task
from ..report.progress import Progress
from ..results.best import best_or_none, over_budget
from ..results.measured import speeds_of
from ..results.result import Result
from ..results.speeds import MeasuredSpeed, keep_speeds
from ..storage.errors import LockLost
from ..storage.manifest import processor
from ..storage.trials import Scored
from .workers import Worker

TOLERANCE = 1e-2
"""By how much an engine's outputs may differ from PyTorch's, as a share of their largest."""

FRONT_SECONDS = 2.0
"""About how long each network of a front is measured."""


@dataclass(frozen=True)
class SpeedMeter:
    """Measures networks against the dense one, in one engine on one batch."""

    engine: Engine
    inputs: Inputs
    batch_size: int
    threads: int
    dense: Runner

    @classmethod
    def of(cls, engine: Engine, task: Task, batch_size: int, threads: int) -> SpeedMeter:
        """Make the task's own network ready; raises `RankfrontError` where the engine does not take it."""
        inputs = inputs_of(task, batch_size)
        dense = _ready(engine, in_eval(copied(task.model).cpu()), inputs, threads)
        return cls(engine, inputs, batch_size, threads, dense)

    def speed(self, trial: int, network: nn.Module, seconds: float = SECONDS) -> MeasuredSpeed:
        """Return how fast a trial's network is; raises `RankfrontError` where the engine gives something else."""
        return self.measured(trial, _ready(self.engine, network, self.inputs, self.threads), seconds)

    def measured(self, trial: int, runner: Runner, seconds: float = SECONDS) -> MeasuredSpeed:
        """Return how fast what runs a trial's network is."""
        pairs = measure_pairs(self.dense, runner, seconds=seconds)
        return MeasuredSpeed(
            trial,
            self.engine.label,
            self.batch_size,
            self.threads,
            1000 * pairs.dense_s,
            1000 * pairs.other_s,
            pairs.speedup,
            pairs.low,
            pairs.high,
            processor(torch.device(self.engine.device)),
        )


def measure_front(result: Result, task: Task, setting: EngineSetting, worker: Worker, progress: Progress) -> None:
    """Measure a finished study's front, and then the best until it is measured within the budget; the study keeps it.

    Not to be called under the study lock. What was measured before is not measured again; nothing is where the study's
    latencies are those of another machine.
    """
    if setting.elsewhere is not None:
        progress.say(f"the front is not measured here, as the study's latencies are those of {setting.elsewhere}")
    else:
        _measure(result, task, setting, worker, progress)
    for line in over_budget(result):
        progress.say(line)


def _measure(result: Result, task: Task, setting: EngineSetting, worker: Worker, progress: Progress) -> None:
    meter: SpeedMeter | None = None

    def measure(trial: Scored) -> None:
        nonlocal meter
        meter = meter or SpeedMeter.of(setting.engine, task, setting.batch_size, setting.threads)
        found = meter.speed(trial.trial, result.load(trial, task.model), FRONT_SECONDS)
        worker.exclusively(functools.partial(keep_speeds, result.study, [found]))

    what = f"measuring the front in {setting.engine.label}"
    with contextlib.suppress(LockLost), worker.testing(), threads_kept():
        try:
            known = speeds_of(result)
            missing = [trial for trial in result.on_front if trial.trial not in known]
            for done, trial in enumerate(missing):
                progress(what, done, len(missing))
                measure(trial)
            while (best := best_or_none(result)) is not None and best.trial not in speeds_of(result):
                measure(best)
        except RankfrontError as error:
            progress.say(f"the front is not measured, so its latencies are predicted: {error}")
        finally:
            progress.finish(what)


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """Let engines set PyTorch's threads, and set them back."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def inputs_of(task: Task, batch_size: int) -> Inputs:
    """Return the inputs that are measured on: the first validation samples."""
    return next(task.validation.batches(batch_size, limit=batch_size)).inputs


def _ready(engine: Engine, network: nn.Module, inputs: Inputs, threads: int) -> Runner:
    """Return what runs a network, once it has given what PyTorch gives."""
    runner = engine.runner(network, inputs, threads)
    for ours, theirs in zip(runner(), ENGINES["eager"].runner(network, inputs, threads)(), strict=True):
        largest = float(theirs.abs().max()) if theirs.numel() else 0.0
        apart = float((ours.cpu() - theirs).abs().max()) if theirs.numel() else 0.0
        if not apart <= TOLERANCE * largest:
            raise RankfrontError(
                f"{engine.label} must give what PyTorch gives, but an output differs by {apart:.2g} where the largest "
                f"is {largest:.2g}"
            )
    return runner
