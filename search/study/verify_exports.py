"""``verify`` of the files that ``export`` wrote: bytes, outputs, score, and the speed on the machine of the first time.

An export that was moved or deleted is passed over: the study knows where it was written, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ...objectives.deploy.file import FileMaker
from ...objectives.deploy.network import Network
from ...objectives.deploy.registry import exporter_of
from ...objectives.engines.eager import outputs_of
from ...objectives.engines.engine import Runner
from ...objectives.engines.registry import ENGINES
from ...objectives.errors import RankfrontError
from ...objectives.io.files import digest
from ...objectives.objective import Objective
from ..report.progress import Progress
from ..results.exports import StoredExport, exports_of, read_export
from ..results.result import Result
from ..results.speeds import MeasuredSpeed
from ..storage.manifest import cpu
from .check import Check
from .measuring import SpeedMeter, threads_kept
from .shipped import shipped_again


def check_exports(result: Result, objective: Objective, here: dict[str, str], progress: Progress) -> list[Check]:
    """Return what is found of each export that is still where it was written.

    Args:
        result: the study's.
        objective: with its model and data.
        here: what scores depend on besides, on this machine.
        progress: told which are there no more, and whose speed was measured elsewhere.
    """
    checks: list[Check] = []
    for path in exports_of(result.study, result.folder):
        if not path.exists():
            progress.say(f"{path} is not there any more")
            continue
        try:
            export = read_export(path)
            with threads_kept():
                checks += _checks_of(export, result, objective, here, progress)
        except RankfrontError as error:
            checks.append(Check(-1, str(path), "", f"{error}; export it again", False))
    return checks


def _checks_of(
    export: StoredExport, result: Result, objective: Objective, here: dict[str, str], progress: Progress
) -> Iterator[Check]:
    path, how, trial = export.path, export.how, int(export.about["trial"])
    for name, (known, _) in how["files"].items():
        if digest(path.with_name(name)) != known:
            yield Check(
                trial, str(path.with_name(name)), "", "has changed since it was written; export it again", False
            )
            return
    yield Check(trial, f"{path.name}, bytes", "", "as they were written", True)
    exporter = exporter_of(path)
    assert exporter is not None
    exporter.check(None)
    model = shipped_again(result, objective, export.plan, export.about)
    task = objective.task
    maker = FileMaker(
        exporter,
        how["engine"],
        torch.get_num_threads(),
        how["int8"],
        task.validation,
        task.score,
        objective.batch_size,
    )
    example = next(task.validation.batches(1, limit=1))
    session = maker.opened(path, how["batch_size"], example.dim)
    try:
        score, difference = maker.checked(model, session)
    except RankfrontError as error:
        yield Check(trial, f"{path.name}, outputs", "", str(error), False)
        return
    yield Check(trial, f"{path.name}, outputs", "", str(difference), True)
    agree = result.scale.equal if how["machine"] == here else _agreeing(result)
    show = result.scale.show
    yield Check(
        trial,
        f"{path.name}, {result.scale.name}",
        show(how["score"]),
        show(score.score),
        agree(how["score"], score.score),
    )
    if how["speed"] is not None:
        network = Network(model, example)

        def runner(inputs: Any) -> Runner:
            taken = network.tensors(inputs)
            return lambda: outputs_of(session(taken))

        yield from _speed(MeasuredSpeed(**how["speed"]), path, how["engine"], objective, runner, progress)


def _agreeing(result: Result) -> Any:
    samples = result.dense.samples["validation"]
    return lambda stored, again: result.scale.agrees(stored, again, samples)


def _speed(
    known: MeasuredSpeed, path: Path, engine: str, objective: Objective, runner: Any, progress: Progress
) -> Iterator[Check]:
    """Yield whether a file is as fast as it was, where it was measured on this machine."""
    if known.machine != cpu() or known.threads != torch.get_num_threads():
        progress.say(
            f"{path.name}: its speed is not measured again, as it was on {known.machine} with {known.threads} threads"
        )
        return
    meter = SpeedMeter.of(ENGINES[engine], objective.task, known.batch_size, known.threads)
    again = meter.measured(known.trial, runner(meter.inputs))
    overlap = again.low <= known.high and known.low <= again.high
    yield Check(known.trial, f"{path.name}, speed", _interval(known), _interval(again), overlap)


def _interval(speed: MeasuredSpeed) -> str:
    return f"{speed.speedup:.2f} times the dense network's ({speed.low:.2f} to {speed.high:.2f})"
