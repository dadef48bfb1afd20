"""``speed``: how fast a trial's network is against the dense one, in the engines that run networks in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ...objectives.data.calling import Inputs
from ...objectives.engines.engine import Engine, Runner
from ...objectives.engines.pairs import measure_pairs
from ...objectives.engines.registry import ENGINES, QUICK, engine_named
from ...objectives.errors import RankfrontError
from ...objectives.given import texts
from ...objectives.model.copying import copied
from ...objectives.model.mode import in_eval
from ..report.page import write_report
from ..report.progress import Progress, showing
from ..results.result import Result
from ..results.speeds import MeasuredSpeed, keep_speeds
from ..space.budget import Budget
from ..storage.locks import locks_of
from ..storage.manifest import cpu
from ..storage.trials import Scored
from .computing import OfStudy, SpeedSettings
from .options import called_with

TOLERANCE = 1e-2
"""By how much an engine's outputs may differ from PyTorch's, as a share of their largest."""


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
    inputs = next(settings.task.validation.batches(settings.batch_size, limit=settings.batch_size)).inputs
    networks = in_eval(copied(settings.task.model).cpu()), result.load(trial, settings.task.model)
    before, found = torch.get_num_threads(), []
    try:
        for engine in _engines(settings.engine):
            progress(f"measuring in {engine.label}", 0, 1)
            try:
                found.append(_in(engine, networks, inputs, threads, trial, settings.batch_size))
            except RankfrontError as error:
                if settings.engine is not None:
                    raise
                progress.say(f"{engine.label}: {error}")
            finally:
                progress.finish(f"measuring in {engine.label}")
    finally:
        torch.set_num_threads(before)
    return found


def _engines(asked: str | Sequence[str] | None) -> list[Engine]:
    """Return the engines asked for; if none is, those that take no minutes to compile."""
    return [engine_named(name) for name in (QUICK if asked is None else texts("engine", asked, "'openvino'"))]


def _in(
    engine: Engine, networks: Sequence[nn.Module], inputs: Inputs, threads: int, trial: Scored, batch_size: int
) -> MeasuredSpeed:
    runners = [engine.runner(network, inputs, threads) for network in networks]
    for network, runner in zip(networks, runners, strict=True):
        _check_same(engine, runner, ENGINES["eager"].runner(network, inputs, threads))
    pairs = measure_pairs(runners[0], runners[1])
    return MeasuredSpeed(
        trial.trial,
        engine.label,
        batch_size,
        threads,
        1000 * pairs.dense_s,
        1000 * pairs.other_s,
        pairs.speedup,
        pairs.low,
        pairs.high,
        cpu(),
    )


def _check_same(engine: Engine, runner: Runner, eager: Runner) -> None:
    for ours, theirs in zip(runner(), eager(), strict=True):
        largest = float(theirs.abs().max()) if theirs.numel() else 0.0
        apart = float((ours - theirs).abs().max()) if theirs.numel() else 0.0
        if not apart <= TOLERANCE * largest:
            raise RankfrontError(
                f"{engine.label} must give what PyTorch gives, but an output differs by {apart:.2g} where the largest "
                f"is {largest:.2g}"
            )
