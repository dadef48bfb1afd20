"""The page: one self-contained HTML file that opens offline in any browser."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from ...objectives.io.files import read_json, write_text
from ...objectives.kinds.registry import KINDS
from ...objectives.metrics.amounts import share_shown
from ...objectives.metrics.registry import LAYER_METRICS, METRICS
from ...objectives.metrics.values import Metrics
from ..results.best import best_or_none
from ..results.headline import headline_of
from ..results.measured import measured_shown, setting_of, speeds_of
from ..results.plots.ranks import legend, short_names
from ..results.plots.style import DARK
from ..results.result import Result
from ..results.speeds import MeasuredSpeed
from ..results.tables import front_rows
from ..storage.dense import left_dense_of
from ..storage.warnings import warnings_of
from .budgets import budget_data
from .format import duration
from .remarks import SHOWN, remarks_of

TITLES = {
    "ranks": "Kinds and ranks on the front",
    "test": "Validation against test",
    "hypervolume": "Progress",
    "importance": "Which layers decided",
    "phases": "Where the time went",
}

NOTES = {
    "ranks": "A row a layer, a column a trial; the stronger the colour, the fewer parameters are left. "
    f"{legend(short_names(KINDS))}.",
    "test": "The front was chosen by validation, so those scores flatter it. On the line both are equal; "
    "bars are the test scores' 95 % intervals.",
    "hypervolume": "Hypervolume: the area that the front dominates, as a share of all. Where the line is flat, more "
    "trials bring little.",
    "phases": "Proposing: a sampler chooses a plan. Screening: plans are scored before fine-tuning, to train only good "
    "ones. Refitting: factors are solved again on the compressed network's own data.",
    "importance": "How much a layer's choice decided whether a trial was among the best quarter of those that were run "
    "(Optuna's PED-ANOVA).",
}


def write_report(result: Result) -> Path:
    """Write ``report.html`` into the study's folder; returns its path."""
    # The loader finds the template beside this file, installed or in a checkout.
    loader = PackageLoader("rankfront.search.report", package_path="")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("page.html.jinja").render(_content(result))
    write_text(result.folder.report, page)
    return result.folder.report


def embedded(text: str) -> str:
    """Return JSON that may stand in a script: no name in it ends the script."""
    return text.replace("<", "\\u003c")


def _content(result: Result) -> dict[str, Any]:
    """Return all that the template shows, in words."""
    states = Counter(record.state for record in result.records)
    remarks = remarks_of(result.records)
    dense, scale, rows = result.dense, result.scale, front_rows(result)
    best = best_or_none(result)
    tested = any(f"test_{scale.name}" in row for row in rows)
    speeds = speeds_of(result)
    return {
        "title": result.study.study_name,
        "headline": headline_of(result),
        "score": scale.name,
        "proportion": scale.proportion,
        "costs": dense.costs,
        "layer_metrics": LAYER_METRICS,
        "notes": [note for name in dense.costs if (note := METRICS[name].note)],
        "plotly": get_plotlyjs(),
        "dark": embedded(json.dumps(DARK)),
        "data": embedded(json.dumps(budget_data(result), ensure_ascii=False)),
        "figures": _figures(result),
        "budget": str(result.budget),
        "best": None if best is None else best.trial,
        "models": _models(result),
        "tested": tested,
        "left": [] if (left := left_dense_of(result.study)) is None else left.lines(),
        "counts": ", ".join(f"{count} {state}" for state, count in states.items()),
        "spent": duration(math.fsum(result.seconds.values())) if result.seconds else "",
        "samples": dense.samples,
        "intervals": result.has_intervals,
        "int8": result.int8,
        "front": [_row(result, row, speeds) for row in rows],
        "titles": {name: METRICS[name].title for name in dense.costs},
        "measured": setting_of(result),
        "finished": {model.trial for model in result.finished},
        "warnings": warnings_of(result.study),
        "remarks": len(remarks),
        "remarked": remarks[:SHOWN],
        "settings": {**_plain(result.identity), **_manifest(result)},
    }


def _figures(result: Result) -> list[dict[str, Any]]:
    titles = {
        **{name: f"{result.scale.name.capitalize()} against {name}" for name in result.dense.costs},
        **TITLES,
    }
    return [
        {
            "name": name,
            "title": titles[name],
            "note": NOTES.get(name, ""),
            "wide": name == "ranks",
            "height": figure.layout["height"],
            "width": _meta(figure).get("least_width", 0),
            "views": list(_meta(figure).get("views", ())),
            "json": embedded(str(figure.to_json())),
        }
        for name, figure in result.figures.items()
    ]


def _meta(figure: go.Figure) -> dict[str, Any]:
    return figure.to_plotly_json()["layout"].get("meta", {})


def _models(result: Result) -> list[dict[str, Any]]:
    """Return the models that are compared at a glance: the dense one, the best, the finished ones."""
    scale, dense = result.scale, result.dense
    models = [_model(result, "Dense model", "", dense.score, result.test_score(None), dense.metrics)]
    if (best := best_or_none(result)) is not None:
        title = f"Best within {result.budget}"
        models.append(
            _model(result, title, f"trial {best.trial}", best.score, result.test_score(best.trial), best.metrics)
        )
    for model in result.finished:
        about = f"trial {model.trial}, {model.epochs} more epochs, before {scale.show(model.before)}"
        models.append(_model(result, f"Finished model, {model.name}", about, model.score, model.test, model.metrics))
    return models


def _model(
    result: Result, title: str, about: str, score: float, test: float | None, metrics: Metrics
) -> dict[str, Any]:
    dense = result.dense
    shares = [share_shown(metrics.get(name, math.nan), dense.metrics[name]) for name in dense.costs]
    return {
        "title": title,
        "about": about,
        "validation": result.scale.show(score),
        "test": result.scale.show(test),
        "costs": [
            {"amount": METRICS[name].show(metrics.get(name, math.nan)), "share": share}
            for name, share in zip(dense.costs, shares, strict=True)
        ],
    }


def _row(result: Result, row: Mapping[str, float], speeds: Mapping[int, MeasuredSpeed]) -> dict[str, Any]:
    """Return one line of the front's table."""
    score, dense = result.scale.name, result.dense.metrics
    return {
        "trial": int(row["trial"]),
        "scores": [_score(result, row, column) for column in (score, f"test_{score}")],
        "runs": f"mean of {int(row['runs'])} runs {result.scale.show(row[f'{score}_mean'])}" if row["runs"] > 1 else "",
        "costs": [
            {"amount": METRICS[name].show(row[name]), "share": share_shown(row[name], dense[name])}
            for name in result.dense.costs
        ],
        "measured": measured_shown(speeds.get(int(row["trial"]))),
    }


def _score(result: Result, row: Mapping[str, float], column: str) -> dict[str, str]:
    shown = result.scale.show(row.get(column))
    known = shown != "–" and f"{column}_low" in row
    interval = result.scale.show_interval(row[f"{column}_low"], row[f"{column}_high"]) if known else ""
    return {"shown": shown, "interval": interval}


def _plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without the samples of data by which a study is known, which nobody reads."""
    return {name: value for name, value in identity.items() if not isinstance(value, Mapping)}


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
