"""The page of `scaling.py` beside it: what is said of each part, and its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from sections import sections_of
from simulated_workers import LAYERS

from rankfront.objectives.io.files import read_json, write_text

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "scaling.md"


def ms(seconds: float) -> str:
    """Return seconds as milliseconds to read."""
    return f"{1000 * seconds:,.0f} ms"


def rows_of(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table."""
    return ["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)]


TABLES: dict[str, Callable[[list[dict[str, Any]]], list[str]]] = {
    "storage": lambda rows: rows_of(
        ["database", "the turn to propose", "storing the result", "all of a trial"],
        [[r["database"], ms(r["turn"]), ms(r["storing"]), ms(r["whole"])] for r in rows],
    ),
    "simulated": lambda rows: rows_of(
        ["workers", "trials", "the turn, waiting included", "the first one", "storing", "a worker's time that is lost"],
        [
            [r["workers"], r["trials"], ms(r["turn"]), ms(r["first"]), ms(r["storing"]), f"{r['lost']:.1%}"]
            for r in rows
        ],
    ),
    "quality": lambda rows: rows_of(
        ["workers", "hypervolume", "of one worker's", "of the true front's", "after half of the trials"],
        [
            [
                r["workers"],
                f"{fmean(r['volumes']):.4f} ± {np.std(r['volumes']):.4f}",
                f"{fmean(r['volumes']) / fmean(rows[0]['volumes']):.2%}",
                f"{fmean(r['volumes']) / r['truth']:.2%}",
                f"{fmean(r['half']) / fmean(rows[0]['half']):.2%} of one worker's",
            ]
            for r in rows
        ],
    ),
    "proposals": lambda rows: rows_of(
        ["after trials", "a proposal", "all else of a trial", "memory"],
        [[f"{r['trials']:,}", ms(r["proposal"]), ms(r["rest"]), f"{r['memory']:.0f} MiB"] for r in rows],
    ),
    "efficiency": lambda rows: rows_of(
        ["database", "workers", "trials an hour", "efficiency"],
        [
            [r["database"], r["workers"], f"{r['rate']:,.0f}", f"{r['rate'] / (r['workers'] * alone['rate']):.0%}"]
            for r in rows
            for alone in rows
            if alone["workers"] == 1 and alone["database"] == r["database"]
        ],
    ),
}
"""Part → its table."""


HEADINGS = {
    "efficiency": (
        "Trials of `digits`",
        "Single-threaded trials, two cores; *efficiency* is the rate against as many times that of one worker.",
    ),
    "storage": (
        "Beside the network's time",
        f"One worker, a made-up network of {LAYERS} layers whose trials take no time. *The turn* is what only one "
        "worker does at a time: a slot is claimed, a plan proposed and stored.",
    ),
    "simulated": (
        "Simulated workers",
        "Trials that sleep for a minute on average, on PostgreSQL; all workers are threads of one process, whose "
        "Python code shares one core, so what is lost is an upper bound. All begin at the same moment, so the first "
        "turns are waited for longest: they are a column of their own, and what is lost is between one trial and the "
        "next. One second in a minute is 1.7 %.",
    ),
    "quality": (
        "Does it cost quality?",
        "Proposals do not know the scores of trials that are under way. The model is `truth` of [the comparison of "
        "samplers](samplers.md), the sampler the default one; trials are equally many.",
    ),
    "proposals": (
        "Long studies",
        f"{LAYERS} layers, SQLite, CPU time of one thread; but for the first 100 and the last 50 trials, plans were "
        "crossed, not proposed. The goal is 50 ms a proposal, 100 ms for all else.",
    ),
}
"""Part → its heading on the page, and what is to be said of it."""


def table(runs: Path) -> None:
    """Write the page of all parts that there are; the others stay as they stand there."""
    before = sections_of(PAGE)
    lines = ["# Many workers", "", "Written by `benchmarks/scaling.py table`; do not edit.", ""]
    for part, heading in HEADINGS.items():
        path = runs / f"scaling {part}.json"
        title = [f"## {heading[0]}", "", heading[1], ""]
        if not path.exists():
            lines += before.get(heading[0]) or [*title, "Not run yet.", ""]
            continue
        lines += title
        found = read_json(path)
        known = found["known"]
        lines += [*TABLES[part](found["rows"]), ""]
        lines += [f"{known['date']}, commit {known['commit']}, {known['machine']}, torch {known['torch']}.", ""]
    write_text(PAGE, "\n".join(lines))
