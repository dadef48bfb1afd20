"""``speed``: how fast a trial's network is against the dense one, in the engines that run networks in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...objectives.engines.engine import Engine
from ...objectives.engines.registry import QUICK, engine_named
from ...objectives.errors import RankfrontError
from ...objectives.given import texts
from ..report.page import write_report
from ..report.progress import Progress, showing
from ..results.result import Result
from ..results.speeds import MeasuredSpeed, keep_speeds
from ..space.budget import Budget
from ..storage.locks import locks_of
from .computing import OfStudy, SpeedSettings
from .measuring import SpeedMeter, threads_kept
from .options import called_with


@dataclass(frozen=True)
class SpeedArguments(OfStudy, SpeedSettings):
    """The arguments of `speed`."""


@called_with(SpeedArguments)
def speed(settings: SpeedArguments) -> list[MeasuredSpeed]:  # noqa: D417
    """Measure how fast a study's best network runs against the dense one; the study keeps what is found.

    Both are run in turn, many times, on the first validation samples, in every engine. An engine whose outputs differ
    from PyTorch's is an error.

    Args:
        task: the one that ``run`` was given.
        out: the study's folder.
        {options}

    Returns:
        What was measured, an entry an engine.

    Raises:
        RankfrontError: no trial keeps the budget, an engine that was asked for is missing or does not take the
            networks, or the task is not the study's.
    """
    with showing(settings.progress) as progress:
        result = Result.open(settings.out, settings.storage, settings.task.model)
        found = _measured(settings, result, progress)
        with locks_of(result.folder, settings.storage, result.study.study_name).study():
            keep_speeds(result.study, found)
        write_report(Result.open(settings.out, settings.storage))
    return found


def _measured(settings: SpeedArguments, result: Result, progress: Progress) -> list[MeasuredSpeed]:
    asked = result.budget if settings.budget is None else Budget.of(settings.budget)
    trial = result.best_trial(asked)
    threads = settings.threads or torch.get_num_threads()
    network, found = result.load(trial, settings.task.model), []
    for engine in _engines(settings.engine):
        progress(f"measuring in {engine.label}", 0, 1)
        try:
            with threads_kept():
                meter = SpeedMeter.of(engine, settings.task, settings.batch_size, threads)
                found.append(meter.speed(trial.trial, network))
        except RankfrontError as error:
            if settings.engine is not None:
                raise
            progress.say(f"{engine.label}: {error}")
        finally:
            progress.finish(f"measuring in {engine.label}")
    return found


def _engines(asked: str | Sequence[str] | None) -> list[Engine]:
    """Return the engines asked for; if none is, the quick ones."""
    return [engine_named(name) for name in (QUICK if asked is None else texts("engine", asked, "'openvino'"))]
