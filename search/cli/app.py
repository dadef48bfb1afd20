"""The command line's commands, collected."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from . import cluster, dashboard, deploy, exporting, looking, running

app = typer.Typer(
    name="rankfront",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    running.run,
    running.finish,
    running.verify,
    running.speed,
    cluster.worker,
    cluster.status,
    looking.studies,
    looking.front,
    looking.plan,
    looking.report,
    exporting.export,
    exporting.code,
    cluster.move,
    deploy.deploy,
    dashboard.dashboard,
):
    app.command()(command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rankfront {version('rankfront')}")
        raise typer.Exit


@app.callback()
def rankfront(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which layers of a trained PyTorch model to factorize, how, and at what rank."""
