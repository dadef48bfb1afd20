"""The commands for a study with several workers: ``worker``, ``status`` and ``move``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..report.progress import Progress
from ..storage.folder import Folder
from ..study.settings import Settings
from .completion import folders
from .options import Debug, Dir, Named, options_of

MaybeDir = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR]",
        help="A study's folder; not needed where --storage is given and the study says it.",
        autocompletion=folders,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="The study's name in the database [default: the folder's, or the only one]"
    ),
]


@options_of(Settings, only=("storage", "files", "device", "timeout"))
def worker(
    folder: MaybeDir = None,
    name: Name = None,
    study: Named = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show errors alone; DIR/run.log has every line.")] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Join a study that was begun, as one more worker.

    It runs trials until none is left. Everything else is the study's own. Batch systems start it as often as they like,
    on any machine that reaches the study's folder and database.
    """
    asked = Settings(**options)
    from ..storage.source import source_of
    from ..storage.whereabouts import located
    from ..study.loading import joined_task
    from ..study.run import run

    found, where = located(folder, asked.storage, name)
    with (
        Progress(shown=not quiet) as progress,
        joined_task(found, where, asked.files, study, asked.device, progress) as task,
    ):
        keep = {"out": where.path, "source": source_of(found, where), "keep_latency": True}
        run(task, **options, **keep, progress=progress)


@options_of(Settings, only=("storage",))
def status(
    folder: MaybeDir = None,
    name: Name = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Print how far a study is, and who is at work."""
    storage = Settings(**options).storage
    from ..storage.database import database_of
    from ..storage.errors import storage_errors
    from ..storage.locks import locks_of
    from ..storage.whereabouts import located
    from ..study.status import Status

    study, where = located(folder, storage, name)
    with storage_errors(database_of(where.path, storage)):
        found = Status.of(study, where, locks_of(where, storage, study.study_name))
    typer.echo(json.dumps(found.as_data(), indent=2) if as_json else "\n".join(found.lines()))


@options_of(Settings, only=("storage",))
def move(
    folder: Dir,
    back: Annotated[bool, typer.Option("--back", help="Take it from there back to DIR/study.db.")] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Take a study to another database, or back.

    From DIR/study.db to --storage. The folder stays the place of its files. No worker may be alive. The same command
    goes on where it was stopped.
    """
    storage = Settings(**options).storage
    if storage is None:
        raise typer.BadParameter("move needs --storage URL, the other database")
    from ..storage.moving import MOVED, move

    where = Folder(folder)
    move(where, storage, back=back)
    if back:
        typer.echo(f"the study lies in {where.database}: commands on it need no --storage")
    else:
        typer.echo(
            f"the study lies in the database: commands on it need --storage; {where.database}{MOVED} is a copy that "
            "nothing reads any more"
        )
