"""The front as a table to read: what ``rankfront front`` and ``print(result)`` show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ...objectives.described import counted
from ...objectives.metrics.registry import METRICS
from .best import best_or_none
from .measured import measured_shown, setting_of, speeds_of
from .speeds import MeasuredSpeed
from .tables import front_rows

if TYPE_CHECKING:
    from .result import Result

WIDTH = 160
"""Characters of a line where no terminal says how many it has."""


def front_shown(result: Result, rows: Sequence[dict[str, Any]], best: int | None) -> Table:
    """Return rows of the front with the dense model below them, in words and units; an arrow at the best trial."""
    columns, cells = front_cells(result, rows)
    table = Table(*columns, box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for trial, *others in cells:
        table.add_row(f"→ {trial}" if trial == str(best) else trial, *others)
    return table


def front_cells(result: Result, rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the columns' names and the cells of rows of the front, and last of the dense model, in words and units."""
    scale, dense = result.scale, result.dense
    tested = f"test_{scale.name}"
    has_test = any(tested in row for row in rows)
    titles = [METRICS[name].title for name in dense.costs]
    measured = [] if setting_of(result) is None else ["measured latency"]
    speeds = speeds_of(result)
    columns = [
        "trial",
        f"validation {scale.name}",
        *([tested.replace("_", " ")] if has_test else []),
        *titles,
        *measured,
    ]
    cells = [
        [
            str(int(row["trial"])),
            *(scale.show(row[name]) for name in (scale.name, tested) if name in row),
            *(f"{METRICS[name].show(row[name])}  {row[f'{name}_pct']:5.3g} %" for name in dense.costs),
            *(measured_shown(speeds.get(int(row["trial"]))) for _ in measured),
        ]
        for row in rows
    ]
    scores = [dense.score, *([result.test_score(None)] if has_test else [])]
    shown = [scale.show(score) for score in scores]
    whole = [f"{METRICS[name].show(dense.metrics[name])}    100 %" for name in dense.costs]
    cells.append(["dense", *shown, *whole, *("" for _ in measured)])
    return columns, cells


def speeds_shown(found: Sequence[MeasuredSpeed]) -> Table:
    """Return measured speeds as a table, a row an engine."""
    table = Table(
        "engine", "batch", "threads", "dense", "compressed", "speed-up", "quartiles", box=None, pad_edge=False
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for each in found:
        table.add_row(
            each.engine,
            str(each.batch_size),
            str(each.threads),
            f"{each.dense_ms:.3g} ms",
            f"{each.ms:.3g} ms",
            f"{each.speedup:.2f}×",
            f"{each.low:.2f}–{each.high:.2f}",
        )
    return table


def headline(result: Result) -> str:
    """Return what a result is, on one line."""
    trials = counted(len(result.records), "trial")
    return f"<Result of {result.study.study_name!r}: {trials}, {len(result.on_front)} on the front>"


def as_text(result: Result) -> str:
    """Return what a result is, and its front, as plain text."""
    best = best_or_none(result)
    table = front_shown(result, front_rows(result), None if best is None else best.trial)
    console = Console(width=WIDTH, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join([headline(result), *(line.rstrip() for line in captured.get().splitlines())])
