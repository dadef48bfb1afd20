"""The page: one self-contained HTML file that opens offline in any browser."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from ...objectives.errors import RankfrontError
from ...objectives.io.files import read_json, write_text
from ...objectives.metrics.count import Metrics
from ..results.result import Result
from .format import count_in_words, score_in_words, share_in_words
from .plots import UNITS

TITLES = {
    "params": "against parameters",
    "flops": "against flops",
    "ranks": "Kinds and ranks per layer on the front (sp: spatial, tk: tucker2, +: with identity block)",
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
    titles = {
        **TITLES,
        **{cost: f"{result.score.capitalize()} {TITLES[cost]}" for cost in ("params", "flops")},
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
        "score": result.score,
        "plotly": get_plotlyjs(),
        "budget": str(result.budget),
        "best": _best(result),
        "finished": _finished(result),
        "dense": {
            "score": score_in_words(result.score, result.dense_score),
            "test": _test(result, None),
            **{name: count_in_words(value, UNITS[name]) for name, value in result.dense._asdict().items()},
        },
        "counts": ", ".join(f"{count} {state}" for state, count in states.items()),
        "samples": result.samples,
        "int8": result.int8,
        "tested": f"test_{result.score}" in result.front,
        "figures": figures,
        "front": [_row(result, row) for row in result.front.to_dict("records")],
        "remarks": len(remarked),
        "remarked": [
            {"trial": record.trial, "state": record.state, "reason": record.reason.splitlines()[0][:300]}
            for record in remarked[:SHOWN_REMARKS]
        ],
        "settings": {**result.identity, **_manifest(result)},
    }


def _best(result: Result) -> dict[str, str] | None:
    try:
        best = result.best_trial()
    except RankfrontError:
        return None
    costs = {
        name: f"{count_in_words(value, UNITS[name])} ({share_in_words(value, getattr(result.dense, name))})"
        for name, value in best.metrics._asdict().items()
    }
    scores = {"score": score_in_words(result.score, best.score), "test": _test(result, best.trial)}
    return {"trial": str(best.trial), **scores, **costs}


def _finished(result: Result) -> dict[str, str] | None:
    if (known := result.finished) is None:
        return None
    scores = {"score": known["metrics"][result.score], "before": known["before"][result.score], "test": known["test"]}
    return {
        "trial": str(known["trial"]),
        "epochs": str(known["epochs"]),
        **{name: count_in_words(known["metrics"][name], UNITS[name]) for name in ("params", "flops")},
        **{name: "" if value is None else score_in_words(result.score, value) for name, value in scores.items()},
    }


def _test(result: Result, trial: int | None) -> str:
    score = result.test_score(trial)
    return "" if score is None else score_in_words(result.score, score)


def _row(result: Result, row: Mapping[Hashable, float]) -> dict[str, str]:
    """Return one line of the front's table."""
    costs = {name: f"{count_in_words(row[name], UNITS[name])} · {row[f'{name}_pct']:.3g} %" for name in Metrics._fields}
    shown = {column: _with_interval(result.score, row, column) for column in (result.score, f"test_{result.score}")}
    if row["runs"] > 1:
        mean = score_in_words(result.score, row[f"{result.score}_mean"])
        shown[result.score] += f" · mean of {int(row['runs'])} runs {mean}"
    return {
        "trial": str(int(row["trial"])),
        "validation": shown[result.score],
        "test": shown[f"test_{result.score}"],
        **costs,
    }


def _with_interval(score: str, row: Mapping[Hashable, float], column: str) -> str:
    if column not in row or math.isnan(row[column]):
        return "–"
    value = score_in_words(score, row[column])
    if f"{column}_low" not in row:
        return value
    return f"{value} [{100 * row[f'{column}_low']:.1f}, {100 * row[f'{column}_high']:.1f}]"


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
