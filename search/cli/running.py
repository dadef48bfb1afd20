"""The commands that compute: ``run``, ``finish``, ``verify`` and ``speed``."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...objectives.described import counted
from ..report.progress import Progress
from ..storage.folder import Folder
from ..study.computing import Computing, FinishSettings, SpeedSettings
from ..study.loading import Loading, begun, stored_task
from ..study.settings import Settings
from .options import Debug, Dir, Named, Study, options_of, part_of
from .streams import stdout_on_stderr

if TYPE_CHECKING:
    from ...objectives.task import Task


@options_of(Settings, Loading)
def run(
    study: Study,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show errors alone; DIR/run.log has every line.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and everything else on stderr.")
    ] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Search the ranks of a model, or go on with it.

    An option that is not given is the stored study's own, where there is one.
    """
    # What is wrong with the options is said before a dense model is trained, or anything heavy imported.
    asked = part_of(Settings, options)
    settings, loading = Settings(**asked), Loading(**part_of(Loading, options))
    with (
        stdout_on_stderr() if as_json else contextlib.nullcontext(),
        Progress(shown=not quiet, stderr=as_json) as progress,
        begun(study, settings, loading, progress) as (task, source),
    ):
        from ..study.run import run

        result = run(task, **asked, progress=progress, source=source)
    if as_json:
        from ..results.as_data import as_data
        from ..results.best import best_or_none
        from ..results.tables import front_rows

        typer.echo(json.dumps(as_data(result, front_rows(result), best_or_none(result)), indent=2))


@options_of(FinishSettings)
def finish(folder: Dir, study: Named = None, debug: Debug = False, **options: Any) -> None:
    """Fine-tune the best model for longer.

    The result goes to DIR/finished/BUDGET. The same command goes on where it was stopped.
    """
    with stored(folder, study, FinishSettings(**options)) as (task, progress):
        from ..study.finish import finish

        finish(task, folder, **options, progress=progress)


@options_of(Computing)
def verify(folder: Dir, study: Named = None, debug: Debug = False, **options: Any) -> None:
    """Load, count and score the front's models again.

    Exit code 1 on any figure that does not hold.
    """
    with stored(folder, study, Computing(**options)) as (task, progress):
        from ..study.verify import verify

        checks = verify(task, folder, **options, progress=progress)
    wrong = [check for check in checks if not check.holds]
    for check in wrong:
        typer.echo(check)
    trials = len({check.trial for check in checks})
    typer.echo(f"{counted(trials, 'model')}, {counted(len(checks), 'figure')}, {len(wrong)} that do not hold")
    if wrong:
        raise typer.Exit(1)


@options_of(SpeedSettings)
def speed(folder: Dir, study: Named = None, debug: Debug = False, **options: Any) -> None:
    """Measure how fast the best model runs against the dense one.

    In engines made for inference (pip install 'rankfront[engines]') and in PyTorch, both networks in turn.
    """
    with stored(folder, study, SpeedSettings(**options)) as (task, progress):
        from rich.console import Console

        from ..results.shown import WIDTH, speeds_shown
        from ..study.speed import speed

        found = speed(task, folder, **options, progress=progress)
    Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False).print(speeds_shown(found))


@contextlib.contextmanager
def stored(folder: Path, named: str | None, settings: Computing) -> Iterator[tuple[Task, Progress]]:
    """Load the task of the study in a folder again; yields it, and what shows progress."""
    Folder(folder).check_holds_study(settings.storage)
    from ..results.result import Result

    result = Result.open(folder, settings.storage)
    with (
        Progress() as progress,
        stored_task(result.study, result.folder, named, settings.device, progress) as task,
    ):
        yield task, progress
