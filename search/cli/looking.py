"""The commands that look at what is there: ``studies``, ``front``, ``plan`` and ``report``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...objectives.errors import RankfrontError
from ..space.budget import Budget
from ..storage.folder import Folder
from ..study.ready import ready_studies, summary
from ..study.settings import Settings
from .options import Debug, Dir, options_of

if TYPE_CHECKING:
    from ..results.result import Result
    from ..storage.trials import Scored


def studies(debug: Debug = False) -> None:
    """List the ready studies."""
    found = ready_studies()
    width = max(map(len, found), default=0)
    for name, point in found.items():
        typer.echo(f"{name:<{width}}  {summary(point)}".rstrip())


@options_of(Settings, only=("budget", "storage"))
def front(
    folder: Dir,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw it, too.")] = False,
    plans: Annotated[bool, typer.Option("--plans", help="Print the plans, too, a line a trial.")] = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Print the front, and the best under any budget."""
    asked = Budget.of(options["budget"]) if options["budget"] else None
    Folder(folder).check_holds_study(options["storage"])
    from rich.console import Console

    from ..results.as_data import as_data
    from ..results.result import Result
    from ..results.shown import WIDTH, front_shown
    from ..results.tables import front_rows

    result = Result.open(folder, options["storage"])
    rows = front_rows(result)
    best = result.best_trial(asked) if asked or (rows and result.budget.floor is None) else None
    limits = {} if asked is None else asked.limits(result.dense.metrics)
    rows = [row for row in rows if all(row[metric] <= limit for metric, limit in limits.items())]
    if as_json:
        typer.echo(json.dumps(as_data(result, rows, best, asked), indent=2))
        return
    width = None if sys.stdout.isatty() else WIDTH
    Console(width=width, highlight=False).print(front_shown(result, rows, None if best is None else best.trial))
    if plot and rows:
        from ..results.text_plot import text_plot

        typer.echo(f"\n{text_plot(result)}\n")
    if plans:
        shown = {row["trial"] for row in rows}
        for each in result.on_front:
            if each.trial in shown:
                typer.echo(f"plan of trial {each.trial}: {each.plan}")
    if best is not None:
        typer.echo(
            f"best within {asked or result.budget}: trial {best.trial}, validation {result.scale.name} "
            f"{result.scale.show(best.score)}\n  {best.plan}"
        )
    for model in result.finished:
        test = "" if model.test is None else f", test {result.scale.show(model.test)}"
        within = "" if model.budget is None else f" within {model.budget}"
        typer.echo(
            f"finished{within}: trial {model.trial}, {model.epochs} epochs, validation "
            f"{result.scale.name} {result.scale.show(model.score)}{test}   {model.folder}"
        )


@options_of(Settings, only=("budget", "storage"))
def plan(
    folder: Dir,
    trial: Annotated[
        str | None, typer.Argument(metavar="[TRIAL]", help="A trial's number; the best within the budget if not given.")
    ] = None,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Print a plan along the network.

    In place of TRIAL, --budget gives the best trial's plan under another budget.
    """
    asked = Budget.of(options["budget"]) if options["budget"] else None
    if trial is not None and asked is not None:
        raise RankfrontError("plan must be given TRIAL or --budget, but got both")
    Folder(folder).check_holds_study(options["storage"])
    from rich.console import Console

    from ..results.plan_table import plan_rows, plan_shown
    from ..results.result import Result
    from ..results.shown import WIDTH

    result = Result.open(folder, options["storage"])
    chosen = result.best_trial(asked) if trial is None else _trial_of(result, trial)
    width = None if sys.stdout.isatty() else WIDTH
    typer.echo(f"trial {chosen.trial}, validation {result.scale.name} {result.scale.show(chosen.score)}")
    Console(width=width, highlight=False).print(plan_shown(plan_rows(result, chosen)))


def _trial_of(result: Result, number: str) -> Scored:
    """Return the trial of that number; raises `RankfrontError` where it is none that is complete within the budget."""
    for trial in result.scored:
        if str(trial.trial) == number:
            return trial
    raise RankfrontError(
        f"trial must be the number of a complete trial within the budget, but got {number!r:.40}: "
        f"`rankfront front {result.folder.path}` lists those on the front"
    )


@options_of(Settings, only=("storage",))
def report(folder: Dir, debug: Debug = False, **options: Any) -> None:
    """Rebuild DIR/report.html."""
    Folder(folder).check_holds_study(options["storage"])
    from ..report.page import write_report
    from ..results.result import Result

    typer.echo(write_report(Result.open(folder, options["storage"])))
