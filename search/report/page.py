"""The page: one self-contained HTML file that opens offline in any browser."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from ...objectives.errors import RankfrontError
from ...objectives.io.files import read_json, write_text
from ...objectives.kinds.registry import KINDS
from ...objectives.metrics.amounts import share_shown
from ...objectives.metrics.registry import METRICS, metric_named
from ..results.finished import FinishedModel
from ..results.plots.ranks import legend, short_names
from ..results.result import Result
from ..results.tables import front_rows
from ..storage.dense import left_dense_of
from ..storage.warnings import warnings_of
from .format import spent

TITLES = {
    "ranks": f"Kinds and ranks per layer on the front ({legend(short_names(KINDS))})",
    "hypervolume": "Hypervolume over trials",
}

SHOWN_REMARKS = 20


def write_report(result: Result) -> Path:
    """Write ``report.html`` into the study's folder; returns its path."""
    # The loader finds the template beside this file, installed or in a checkout.
    loader = PackageLoader("rankfront.search.report", package_path="")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("page.html.jinja").render(_content(result))
    write_text(result.folder.report, page)
    return result.folder.report


def _content(result: Result) -> dict[str, Any]:
    """Return all that the template shows, in words."""
    states = Counter(record.state for record in result.records)
    remarked = [record for record in result.records if record.reason]
    dense, scale, rows = result.dense, result.scale, front_rows(result)
    titles = {
        **{name: f"{scale.name.capitalize()} against {metric_named(name).label}" for name in dense.costs},
        **TITLES,
    }
    figures = [
        {
            "name": name,
            "title": titles[name],
            "height": figure.layout["height"],
            "json": str(figure.to_json()).replace("<", "\\u003c"),  # a name must not end the script it is in
        }
        for name, figure in result.figures.items()
    ]
    return {
        "title": result.study.study_name,
        "score": scale.name,
        "proportion": scale.proportion,
        "costs": dense.costs,
        "notes": [note for name in dense.costs if (note := METRICS[name].note)],
        "plotly": get_plotlyjs(),
        "budget": str(result.budget),
        "best": _best(result),
        "finished": [_finished(result, model) for model in result.finished],
        "dense": {
            "score": scale.show(dense.score),
            "test": _test(result, None),
            "costs": {name: METRICS[name].show(dense.metrics[name]) for name in dense.costs},
        },
        "left": [] if (left := left_dense_of(result.study)) is None else left.lines(),
        "counts": ", ".join(f"{count} {state}" for state, count in states.items()),
        "spent": spent(result.seconds) if result.seconds else "",
        "samples": dense.samples,
        "intervals": result.has_intervals,
        "int8": result.int8,
        "tested": any(f"test_{scale.name}" in row for row in rows),
        "figures": figures,
        "front": [_row(result, row) for row in rows],
        "warnings": warnings_of(result.study),
        "remarks": len(remarked),
        "remarked": [
            {"trial": record.trial, "state": record.state, "reason": record.reason.splitlines()[0][:300]}
            for record in remarked[:SHOWN_REMARKS]
        ],
        "settings": {**result.identity, **_manifest(result)},
    }


def _best(result: Result) -> dict[str, Any] | None:
    try:
        best = result.best_trial()
    except RankfrontError:
        return None
    dense = result.dense.metrics
    costs = {
        name: f"{METRICS[name].show(best.metrics[name])} ({share_shown(best.metrics[name], dense[name])})"
        for name in result.dense.costs
        if name in best.metrics
    }
    return {
        "trial": str(best.trial),
        "score": result.scale.show(best.score),
        "test": _test(result, best.trial),
        "costs": costs,
    }


def _finished(result: Result, model: FinishedModel) -> dict[str, Any]:
    """Return the card of one finished model."""
    scale = result.scale
    return {
        "within": model.name,
        "trial": str(model.trial),
        "epochs": str(model.epochs),
        "score": scale.show(model.score),
        "before": scale.show(model.before),
        "test": "" if model.test is None else scale.show(model.test),
        "costs": {name: METRICS[name].show(model.metrics.get(name, math.nan)) for name in result.dense.costs},
    }


def _test(result: Result, trial: int | None) -> str:
    score = result.test_score(trial)
    return "" if score is None else result.scale.show(score)


def _row(result: Result, row: Mapping[str, float]) -> dict[str, Any]:
    """Return one line of the front's table."""
    score = result.scale.name
    shown = {column: _with_interval(result, row, column) for column in (score, f"test_{score}")}
    if row["runs"] > 1:
        shown[score] += f" · mean of {int(row['runs'])} runs {result.scale.show(row[f'{score}_mean'])}"
    return {
        "trial": str(int(row["trial"])),
        "validation": shown[score],
        "test": shown[f"test_{score}"],
        "costs": [
            f"{METRICS[name].show(row[name])} · {share_shown(row[name], result.dense.metrics[name])}"
            for name in result.dense.costs
        ],
    }


def _with_interval(result: Result, row: Mapping[str, float], column: str) -> str:
    shown = result.scale.show(row.get(column))
    if shown == "–" or f"{column}_low" not in row:
        return shown
    return f"{shown} {result.scale.show_interval(row[f'{column}_low'], row[f'{column}_high'])}"


def _manifest(result: Result) -> dict[str, str]:
    if not result.folder.manifest.exists():
        return {}
    manifest = read_json(result.folder.manifest)
    versions = manifest.get("versions")
    return {
        "trials": str(manifest.get("trials")),
        **(found if isinstance(found := manifest.get("machine"), dict) else {}),
        "system": str(manifest.get("system")),
        "python": str(manifest.get("python")),
        **(versions if isinstance(versions, dict) else {}),
    }
