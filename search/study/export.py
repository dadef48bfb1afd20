"""``export``: the best model as a file that runs elsewhere, checked in its own runtime before it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ...objectives.data.batch import Batch
from ...objectives.deploy.check import Difference
from ...objectives.deploy.exporter import Exporter
from ...objectives.deploy.file import CheckedFile, FileMaker
from ...objectives.deploy.network import Network
from ...objectives.deploy.registry import exporter_of
from ...objectives.deploy.writing import workplace
from ...objectives.engines.pairs import measure_pairs
from ...objectives.engines.registry import ENGINES, engine_named
from ...objectives.errors import RankfrontError
from ...objectives.kinds.plain_form import has_identity_blocks, plain_form
from ...objectives.metrics.bytes import BYTES
from ...objectives.metrics.params import count_params
from ...objectives.metrics.registry import measure
from ...objectives.objective import Objective
from ..report.progress import Progress, showing
from ..results.exports import EXPORT, describe, note_export
from ..results.result import Result
from ..results.speeds import MeasuredSpeed
from ..storage.locks import locks_of
from ..storage.manifest import machine
from ..storage.rewrites import found_in
from .computing import OfStudy
from .export_settings import ExportSettings
from .measuring import SpeedMeter, inputs_of, threads_kept
from .options import called_with
from .shipped import Shipped, shipped

CALIBRATION, AT_ONCE = 256, 32
"""Training samples that show what int8 does to the outputs, and that give activations their ranges; in batches of so
many."""

EXAMPLE = 3
"""Samples that a network is traced with: a tracer may take one for a constant."""

FORM_SECONDS = 2.0
"""About how long two forms are measured against each other."""


@dataclass(frozen=True)
class ExportArguments(OfStudy, ExportSettings):
    """The arguments of `export`."""

    to: str | Path
    finished: bool | None = None


@dataclass(frozen=True)
class Exported:
    """What was written, and what was found of it."""

    path: Path
    trial: int
    bytes: int
    """Of all its files."""
    score: float
    """On validation, of the file in its own runtime."""
    difference: Difference
    form: str
    """Of identity blocks: ``plain`` or ``identity``; ``none`` where there are none."""
    speed: MeasuredSpeed | None
    """Against the dense network, where an engine was named."""
    floats: tuple[str, ...]
    """Of a file as int8 the weights that stay in floating point, as int8 would move the outputs too far."""


@called_with(ExportArguments)
def export(settings: ExportArguments) -> Exported:  # noqa: D417
    """Write a study's best model as a file that runs elsewhere.

    Before it is there, the file is run in its own runtime on the validation split, and once on a single sample: where
    its outputs are not the model's, nothing is left behind.

    Args:
        task: the one that ``run`` was given.
        out: the study's folder.
        to: the file: ``.onnx``, ``.pt2``, ``.xml`` (OpenVINO), ``.pte`` (ExecuTorch) or ``.py`` (plain PyTorch). Its
            description goes to ``FILE.plan.json``. (`Result.export` writes weights and plan.)
        finished: whether the model that ``finish`` made is meant. Default: it is, where there is one of that budget.
        {options}

    Raises:
        RankfrontError: no model keeps the budget, a package is missing, the format or the engine does not take the
            network, or the file gives something else.
    """
    to = Path(settings.to)
    exporter = exporter_of(to)
    if exporter is None:
        raise RankfrontError(f"export writes a network, but {to.name!r:.60} is for weights: Result.export writes them")
    exporter.check(settings.int8)
    with showing(settings.progress) as progress, threads_kept():
        result = Result.open(settings.out, settings.storage, settings.task.model)
        return _exported(settings, exporter, result, to, progress)


def _exported(settings: ExportArguments, exporter: Exporter, result: Result, to: Path, progress: Progress) -> Exported:
    _check_can(settings, exporter, to)
    task = settings.task
    objective = Objective(task, device=torch.device("cpu"), found=found_in(result.study, task.model))
    result.check_belongs(objective)
    source = shipped(result, objective, settings.budget, settings.finished)
    engine = settings.engine or next(iter(exporter.engines), "")
    if engine:
        engine_named(engine).check()
    maker = FileMaker(
        exporter, engine, torch.get_num_threads(), settings.int8, task.validation, task.score, objective.batch_size
    )
    maker = replace(maker, limit=source.limit(BYTES.name))
    network = _network(settings, source.model, objective)
    with workplace(to) as folder:

        def write(form: str, model: nn.Module) -> CheckedFile:
            progress(f"writing {to.name}", 0, 1)
            try:
                return maker.write(replace(network, model=model), folder / form / to.name)
            finally:
                progress.finish(f"writing {to.name}")

        form, file = _fastest(settings, source, objective, write, progress)
        speed = _speed(settings, source, file)
        file.written.move_to(to)
    what = {
        "format": exporter.label,
        "files": file.written.files,
        "form": form,
        "fold_batch_norm": settings.fold_batch_norm,
        "int8": settings.int8,
        "float": sorted(file.floats),
        "batch_size": file.network.example.samples if file.network.fixed else None,
        "engine": engine,
        "params": count_params(file.network.model),
        "bytes": file.written.bytes,
        "difference": asdict(file.difference),
        "score": file.score.score,
        "machine": machine(objective.device),
        "speed": None if speed is None else asdict(speed),
    }
    describe(to, source.plan, {**source.about, EXPORT: what})
    with locks_of(result.folder, settings.storage, result.study.study_name).study():
        note_export(result.study, result.folder, to)
    floats = tuple(sorted(file.floats))
    return Exported(to, source.trial, file.written.bytes, file.score.score, file.difference, form, speed, floats)


def _check_can(settings: ExportArguments, exporter: Exporter, to: Path) -> None:
    """Refuse what this format cannot be; raises `RankfrontError`."""
    if settings.int8 is not None and settings.int8 not in exporter.int8:
        known = f"int8 there is {' or '.join(exporter.int8)}" if exporter.int8 else "there is no int8 there"
        raise RankfrontError(f"{to.suffix} cannot be written with int8 {settings.int8}: {known}")
    if settings.engine is not None and settings.engine not in exporter.engines:
        known = ", ".join(exporter.engines) or "none of ours"
        raise RankfrontError(f"{to.suffix} cannot be checked in engine {settings.engine}: what runs it is {known}")
    if settings.batch_size is None and not exporter.any_batch:
        raise RankfrontError(f"{exporter.label} takes batches of one size: say which, such as --batch-size 1")


def _network(settings: ExportArguments, model: nn.Module, objective: Objective) -> Network:
    """Return a model as what exporters write; raises `RankfrontError` where there is no batch of the size asked for."""
    task, fixed = objective.task, settings.batch_size
    example = next(task.validation.batches(fixed or EXAMPLE, limit=fixed or EXAMPLE))
    if fixed is not None and example.samples != fixed:
        raise RankfrontError(
            f"batch_size must be one that validation data come in, but got {fixed}, and a batch has {example.samples}"
        )
    batches: list[Batch] = []
    if settings.int8 is not None:
        batches = list(task.train.batches(fixed or min(objective.batch_size, AT_ONCE), limit=CALIBRATION))
        batches = [batch for batch in batches if fixed in (None, batch.samples)]
    return Network(model, example, fixed is not None, settings.fold_batch_norm, batches)


def _fastest(
    settings: ExportArguments,
    source: Shipped,
    objective: Objective,
    write: Callable[[str, nn.Module], CheckedFile],
    progress: Progress,
) -> tuple[str, CheckedFile]:
    """Write the network in the form asked for, or in each, and return the fastest; with its name."""
    if not has_identity_blocks(source.model):
        return "none", write("none", source.model)
    if settings.form == "identity":
        return "identity", write("identity", source.model)
    plain = plain_form(source.model)
    over = source.over_budget(measure(plain, objective.layers.example, objective.costs.saved))
    if settings.form == "plain" and over:
        raise RankfrontError(f"form plain must keep the budget, but {over}: --form identity, or another --budget")
    if over:
        progress.say(f"identity blocks stay as they are: as plain factors {over}")
        return "identity", write("identity", source.model)
    file = write("plain", plain)
    if settings.form == "plain":
        return "plain", file
    other = write("identity", source.model)
    inputs = inputs_of(objective.task, settings.batch_size or 1)
    pairs = measure_pairs(other.runner(inputs), file.runner(inputs), seconds=FORM_SECONDS)
    progress.say(f"identity blocks as plain factors are {pairs.speedup:.2f} times as fast")
    return ("plain", file) if pairs.speedup >= 1 else ("identity", other)


def _speed(settings: ExportArguments, source: Shipped, file: CheckedFile) -> MeasuredSpeed | None:
    """Measure a file against the dense network, where an engine was asked for."""
    if settings.engine is None:
        return None
    meter = SpeedMeter.of(ENGINES[settings.engine], settings.task, settings.batch_size or 1, torch.get_num_threads())
    return meter.measured(source.trial, file.runner(meter.inputs))
