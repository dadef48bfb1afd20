"""The command ``dashboard``: Optuna's own page on a study, beside ours."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...objectives.errors import RankfrontError
from ..storage.folder import Folder
from ..study.settings import Settings
from .options import Debug, Dir, options_of, whole_number

if TYPE_CHECKING:
    from ..results.result import Result

HOST = "127.0.0.1"
"""Nobody but this machine's users reaches the page: it can change and delete studies, and asks for no password."""


@options_of(Settings, only=("storage",))
def dashboard(
    folder: Dir,
    port: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Where it listens.")] = 8080,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Serve Optuna's dashboard of a study, with our front.

    Ctrl-C ends it. Only this machine reaches it (pip install 'rankfront[dashboard]').
    """
    Folder(folder).check_holds_study(options["storage"])
    try:
        from optuna_dashboard import run_server
    except ImportError:
        raise RankfrontError("dashboard needs optuna-dashboard: pip install 'rankfront[dashboard]'") from None
    check_free(port)
    from ..results.result import Result

    result = Result.open(folder, options["storage"])
    push(result)
    typer.echo(f"http://{HOST}:{port}/   Ctrl-C ends it   our own page: {Path(result.folder.report).resolve()}")
    run_server(result.study._storage, host=HOST, port=port)


def check_free(port: int) -> None:
    """Raise `RankfrontError` for a port on which nothing can listen."""
    if not 1 <= port <= 65535:
        raise RankfrontError(f"port must be a whole number from 1 to 65535, but got {port}")
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError as error:
            raise RankfrontError(
                f"port must be free, but {port} cannot be listened on ({error.strerror}): --port N names another"
            ) from None


def push(result: Result) -> None:
    """Store the front's plots and a note where the dashboard shows them.

    Its own Pareto plot takes trials over the budget for good ones.
    """
    from optuna_dashboard import save_note, save_plotly_graph_object

    from ..results.headline import headline_of
    from ..results.plots.figures import plotted

    figures = result.figures
    for name in plotted(result):
        save_plotly_graph_object(result.study, figures[name], graph_object_id=f"rankfront-{name}")
    found = headline_of(result)
    said = "No trial is complete within the budget yet." if found is None else f"{found.sentence}. {found.measured}"
    save_note(
        result.study, f"{said}\n\nThe page with plans and a slider over budgets: `{result.folder.report.resolve()}`"
    )
