"""The commands that write the best model's files: ``export`` and ``code``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...objectives.deploy.registry import EXPORTERS, exporter_ending
from ...objectives.described import counted
from ...objectives.errors import RankfrontError
from ..space.budget import Budget
from ..storage.folder import Folder
from ..study.export_settings import CodeSettings, ExportSettings
from .options import Debug, Dir, Named, options_of
from .running import stored

if TYPE_CHECKING:
    from ..study.export import Exported

OF_WEIGHTS = ("budget", "storage", "progress", "device")
"""Options that weights are written with, too."""

Finished = Annotated[
    bool | None,
    typer.Option(
        "--finished/--unfinished",
        help="The model of `rankfront finish`, or the trial's own [default: the finished one, where there is one].",
        show_default=False,
    ),
]


@options_of(ExportSettings)
def export(
    folder: Dir,
    to: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help=f"A file that ends in one of {', '.join(EXPORTERS)}: checked in its own runtime first. Or weights: "
            "FILE.safetensors (the plan goes to FILE.plan.json), or a folder.",
        ),
    ],
    finished: Finished = None,
    study: Named = None,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Write the best model's files.

    They are those of the finished model, where there is one of that budget.
    """
    settings = ExportSettings(**options)
    if exporter_ending(to) is None:
        _weights(folder, to, settings, finished)
    else:
        _file(folder, to, study, settings, options, finished)


@options_of(CodeSettings)
def code(
    folder: Dir,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write [default: DIR/code].", show_default=False)
    ] = None,
    finished: Finished = None,
    study: Named = None,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Write the best model as model.py of plain PyTorch.

    With its weights in model.safetensors. To load it neither rankfront nor the dense model's code is needed.
    """
    settings = CodeSettings(**options)
    _file(folder, (to or folder / "code") / "model.py", study, settings, options, finished)


def _weights(folder: Path, to: Path, settings: ExportSettings, finished: bool | None) -> None:
    """Write weights and plan, which needs neither the model nor torch."""
    defaults = ExportSettings()
    for field in fields(settings):
        if field.name not in OF_WEIGHTS and getattr(settings, field.name) != getattr(defaults, field.name):
            raise RankfrontError(
                f"{field.name.replace('_', '-')} must be given with a file of a network "
                f"({', '.join(EXPORTERS)}), but {to.name!r:.60} is for weights, which are as the plan says"
            )
    Folder(folder).check_holds_study(settings.storage)
    from ..results.finished import none_finished
    from ..results.model_files import export_model
    from ..results.result import Result

    result = Result.open(folder, settings.storage)
    asked = None if settings.budget is None else Budget.of(settings.budget)
    model = result.finished_within(asked)
    if finished and model is None:
        raise none_finished(result.folder, result.budget if asked is None else asked)
    paths, said = export_model(result, to, asked, finished=finished is not False)
    if finished is not False and model is not None:
        typer.echo(
            f"the finished model of trial {model.trial} ({model.epochs} epochs); --unfinished gives it as it was"
        )
    for line in (*paths, *([said] if said else [])):
        typer.echo(line)


def _file(
    folder: Path,
    to: Path,
    study: str | None,
    settings: CodeSettings,
    options: dict[str, Any],
    finished: bool | None,
) -> None:
    """Write a network, which is loaded for it."""
    with stored(folder, study, settings) as (task, progress):
        from ..results.result import Result
        from ..study.export import export

        done = export(task, folder, to, finished, **options, progress=progress)
        scale = Result.open(folder, settings.storage).scale
    _say(done, scale.name, scale.show(done.score))


def _say(done: Exported, name: str, score: str) -> None:
    typer.echo(f"trial {done.trial}: validation {name} {score}, {done.difference}")
    if done.floats:
        typer.echo(f"{counted(len(done.floats), 'layer')} not int8, but in floating point: {', '.join(done.floats)}")
    if done.speed is not None:
        typer.echo(f"{done.speed} than the dense network" if done.speed.is_sure else f"{done.speed}: no difference")
    typer.echo(f"{done.path}  {done.bytes:,} bytes")
