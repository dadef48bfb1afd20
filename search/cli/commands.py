"""The command line: ``rankfront run``, ``finish``, ``verify``, ``front``, ``report``, ``export``, ``studies``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from ...objectives.errors import RankfrontError
from ...objectives.export.int8 import check_installed
from ...objectives.io.files import read_json
from ...objectives.kinds.registry import KINDS, kinds_named
from ...objectives.metrics.registry import METRICS
from ...objectives.task import Task
from ..report.page import write_report
from ..report.progress import Progress
from ..results.result import Result
from ..samplers.registry import DEFAULT, SAMPLERS
from ..space.budget import Budget
from ..storage.folder import Folder
from ..study.finish import finish_with
from ..study.run import run_with
from ..study.settings import DEFAULT_OBJECTIVES, Settings
from ..study.study_file import load_task, ready_studies
from ..study.verify import verify_with

app = typer.Typer(
    name="rankfront",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Dir = Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder, as `rankfront run` wrote it.")]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METRIC=AMOUNT",
        help="Upper bound: params=5% (of the dense model, kept), flops=10M, bytes=200KB. May be repeated.",
    ),
]
Storage = Annotated[str | None, typer.Option(metavar="URL", help="A database in place of DIR/study.db.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")]


def _whole_number(value: str | int) -> int:
    """Read an option's value; typer passes a default through it too."""
    if not str(value).removeprefix("-").isdecimal():
        raise typer.BadParameter(f"must be a whole number, but got {value!r:.60}")
    return int(value)


@app.command()
def run(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A ready study's name, or your own Python file.")],
    budget: Budgets = None,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=_whole_number, help="The study's total of trials [default: the study's, mostly 40]"
        ),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin no further trial after this: 90s, 10m, 2h.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The study's folder [default: runs/STUDY]")] = None,
    storage: Storage = None,
    sampler: Annotated[str, typer.Option(metavar="NAME", help=f"One of {', '.join(SAMPLERS)}.")] = DEFAULT,
    objectives: Annotated[
        str,
        typer.Option(metavar="NAMES", help="What the front trades: accuracy and any of params,flops,bytes."),
    ] = ",".join(DEFAULT_OBJECTIVES),
    kinds: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help=f"Kinds of factorization to choose from: any of {','.join(KINDS)}."),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Ship, and score, Linears as int8 (needs torchao).")] = False,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(metavar="N", parser=_whole_number, help="Of everything random.")] = 0,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Where a ready study's data lies.")] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The dense model's weights, where the study takes some.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", parser=_whole_number, help="Of the images, where the study has some."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Search the ranks of a model, or go on with it."""
    # What is wrong with the options is said before a dense model is trained.
    settings = Settings.checked(
        budget=budget or None,
        objectives=objectives,
        trials=trials,
        timeout=timeout,
        out=out,
        storage=storage,
        sampler=sampler,
        device=device,
        seed=seed,
    )
    if kinds is not None:
        kinds_named(kinds.split(","))
    if int8:
        check_installed()
    with Progress() as progress:
        source = {
            "study": str(Path(study).resolve()) if study not in ready_studies() and Path(study).is_file() else study,
            "asked": {
                "data": None if data is None else str(data.resolve()),
                "weights": None if weights is None else str(weights.resolve()),
                "image_size": image_size,
            },
            "folder": str(Path.cwd()),
            "kinds": kinds,
            "int8": int8,
            "seed": seed,
        }
        run_with(_task(source, study, device, progress), settings, progress, source)


@app.command()
def finish(
    folder: Dir,
    epochs: Annotated[int, typer.Option(metavar="N", parser=_whole_number, help="Passes over the training data.")],
    budget: Budgets = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate [default: the study's]")] = None,
    device: Device = "auto",
    storage: Storage = None,
    debug: Debug = False,
) -> None:
    """Fine-tune the best model for longer, or go on with it; the result goes to DIR/finished."""
    asked = Budget.parse(budget) if budget else None
    Result.open(folder, storage)  # says it at once where there is no study
    with Progress() as progress:
        task = _task_of(folder, device, progress)
        finish_with(task, folder, epochs, asked, lr, device, storage, progress)


@app.command()
def verify(folder: Dir, device: Device = "auto", storage: Storage = None, debug: Debug = False) -> None:
    """Load every model of the front again, recount it and score it again; exit code 1 on any mismatch."""
    Result.open(folder, storage)  # says it at once where there is no study
    with Progress() as progress:
        task = _task_of(folder, device, progress)
        checks = verify_with(task, folder, device, storage, progress)
    wrong = [check for check in checks if not check.holds]
    for check in wrong:
        typer.echo(check)
    trials = len({check.trial for check in checks})
    typer.echo(f"{trials} models, {len(checks)} figures, {len(wrong)} that do not hold")
    if wrong:
        raise typer.Exit(1)


@app.command()
def studies(debug: Debug = False) -> None:
    """List the ready studies."""
    for name, point in ready_studies().items():
        summary = (point.load().__doc__ or "").strip().splitlines()
        typer.echo(f"{name:<20} {summary[0] if summary else ''}")


@app.command()
def front(
    folder: Dir,
    budget: Budgets = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    storage: Storage = None,
    debug: Debug = False,
) -> None:
    """Print the front, and the best under any budget."""
    asked = Budget.parse(budget) if budget else None
    result = Result.open(folder, storage)
    table = result.front
    best = result.best_trial(asked) if asked or len(table) else None
    for metric, limit in asked.limits(result.dense.metrics).items() if asked else ():
        table = table.loc[table[metric] <= limit, :]
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "study": result.study.study_name,
                    "budget": str(asked or result.budget),
                    "dense": {result.scale.name: result.dense.score, **result.dense.metrics},
                    "best": None if best is None else best.trial,
                    "front": json.loads(table.to_json(orient="records") or "[]"),
                },
                indent=2,
            )
        )
        return
    _print_front(result, table, None if best is None else best.trial)
    if best is not None:
        typer.echo(
            f"best within {asked or result.budget}: trial {best.trial}, validation {result.scale.name} "
            f"{result.scale.show(best.score)}\n  {best.plan}"
        )


@app.command()
def report(folder: Dir, storage: Storage = None, debug: Debug = False) -> None:
    """Rebuild DIR/report.html."""
    typer.echo(write_report(Result.open(folder, storage)))


@app.command()
def export(
    folder: Dir,
    to: Annotated[
        Path,
        typer.Option(metavar="FILE", help="FILE.safetensors (the plan goes to FILE.plan.json), or a folder."),
    ],
    budget: Budgets = None,
    storage: Storage = None,
    debug: Debug = False,
) -> None:
    """Write the best model's files."""
    for path in Result.open(folder, storage).export(to, Budget.parse(budget) if budget else None):
        typer.echo(path)


def _task_of(folder: Path, device: str, progress: Progress) -> Task:
    """Load the task of a study again, as its run loaded it."""
    manifest = Folder(folder).manifest
    source = read_json(manifest).get("source") if manifest.exists() else None
    if not isinstance(source, dict):
        raise RankfrontError(
            f"{folder} must hold a study begun by `rankfront run`, but its manifest does not say how its model and "
            "data are loaded: use rankfront.finish or rankfront.verify(task, folder, …) in Python"
        )
    return _task(source, str(source["study"]), device, progress)


def _task(source: dict[str, Any], shown: str, device: str, progress: Progress) -> Task:
    """Load the task that a run's options say; they are kept in its manifest for `finish`."""
    progress.say(f"loading {shown} …")
    asked = {
        name: Path(value) if name in ("data", "weights") and value is not None else value
        for name, value in source["asked"].items()
    }
    offered: dict[str, Any] = {"seed": source["seed"], "device": device, "progress": progress}
    if source["study"] in ready_studies():  # whose data lies in ./data, seen from where the run was started
        offered["data"] = Path(source["folder"]) / "data"
    task = load_task(source["study"], asked, **offered)
    if source["kinds"] is not None:
        task = replace(task, kinds=tuple(source["kinds"].split(",")))
    return replace(task, int8=True) if source["int8"] else task


def _print_front(result: Result, table: pd.DataFrame, best: int | None) -> None:
    scale, dense = result.scale, result.dense
    tested = f"test_{scale.name}"
    columns = [
        "trial",
        f"validation {scale.name}",
        *([tested.replace("_", " ")] if tested in table else []),
    ]
    printed = Table(*columns, *dense.costs, box=None, pad_edge=False)
    for column in printed.columns:
        column.justify = "right"
    for row in table.to_dict("records"):
        printed.add_row(
            ("→ " if row["trial"] == best else "") + str(int(row["trial"])),
            *(scale.show(row[name]) for name in (scale.name, tested) if name in table),
            *(f"{METRICS[name].show(row[name])}  {row[f'{name}_pct']:5.3g} %" for name in dense.costs),
        )
    scores = [dense.score, *([result.test_score(None)] if tested in table else [])]
    printed.add_row(
        "dense",
        *(scale.show(score) for score in scores),
        *(f"{METRICS[name].show(dense.metrics[name])}    100 %" for name in dense.costs),
    )
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False).print(printed)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rankfront {version('rankfront')}")
        raise typer.Exit


@app.callback()
def _rankfront(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which layers of a trained PyTorch model to factorize, how, and at what rank."""
