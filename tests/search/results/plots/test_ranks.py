"""The heatmap of kinds and ranks: its data, and the short names of kinds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rankfront import Metrics, Plan, Result
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.plan import Choice
from rankfront.search.results.plots.figures import figures_of
from rankfront.search.results.plots.ranks import (
    LONGEST,
    MARKED,
    MAX_COLUMNS,
    ROOM,
    draw_ranks,
    legend,
    rank_data,
    short_names,
)


@pytest.mark.parametrize(
    "kinds",
    [
        list(KINDS),
        ["tucker2", "tucker3"],
        ["spatial", "sparse", "sp"],
        ["cp", "cp-identity"],
        [*KINDS, "monarch", "tensor-ring"],
    ],
    ids=" ".join,
)
def test_short_names_are_short_distinct_and_explained(kinds: list[str]) -> None:
    short = short_names(kinds)
    assert list(short) == kinds and len(set(short.values())) == len(kinds)
    assert all(cut == name or len(cut) < len(name) for name, cut in short.items())
    assert all(cut.rstrip("+") == cut or "+: with identity block" in legend(short) for cut in short.values())
    for name, cut in short.items():
        assert cut.rstrip("+") == name.removesuffix("-identity") or f"{cut}: {name}" in legend(short) or "+" in cut


def test_those_of_the_package_fit_into_a_cell() -> None:
    assert all(len(cut) <= LONGEST for cut in short_names(KINDS).values())


def test_a_row_a_layer_a_column_a_trial(result: Result) -> None:
    front = result.on_front
    data = rank_data(front, result.dense)
    assert data.layers == list(front[0].plan) and [name.split()[0] for name in data.trials] == [
        str(t.trial) for t in front
    ]
    assert [[str(t.plan[name]) for t in front] for name in data.layers] == data.texts
    assert all(0 < share <= 1 for row in data.shares for share in row)


@pytest.mark.parametrize("missing", ["params", "flops", "bytes"])
def test_plots_of_a_study_that_lacks_a_metric(result: Result, missing: str) -> None:
    def without(metrics: Metrics) -> Metrics:
        return Metrics({name: amount for name, amount in metrics.items() if name != missing})

    dense = replace(result.dense, metrics=without(result.dense.metrics))
    data = rank_data([replace(t, metrics=without(t.metrics)) for t in result.on_front], dense)
    assert draw_ranks(data).data
    assert all(name.endswith("(–)") for name in data.trials) is (missing == "params")


def test_every_figure_is_there(result: Result) -> None:
    assert list(figures_of(result)) == ["params", "flops", "ranks", "test", "hypervolume", "phases"]


def test_of_very_many_trials_some_are_shown_the_best_among_them(result: Result) -> None:
    first = result.on_front[0]
    many = [replace(first, trial=n) for n in range(100)]
    for best in (0, 37, 99):
        data = rank_data(many, result.dense, best)
        shown = [int(name.removeprefix(MARKED).split()[0]) for name in data.trials]
        assert len(shown) == MAX_COLUMNS and shown == sorted(shown) and {0, 99} <= {*shown, best} and best in shown
        assert [name for name in data.trials if name.startswith(MARKED)] == [data.trials[shown.index(best)]]
        assert data.of == 100 and "14 of 100" in str(draw_ranks(data).layout["xaxis"]["title"]["text"])
        assert draw_ranks(data).data[0]["text"], "a cell without its label"


def test_of_long_ranks_fewer_columns_are_shown(result: Result) -> None:
    """So no label is cut off, and none lies on its neighbour."""
    first = result.on_front[0]
    name = next(iter(first.plan))
    long = Plan({**first.plan, name: Choice("tt", (128, 64, 96))})
    many = [replace(first, trial=n, plan=long) for n in range(100)]
    data = rank_data(many, result.dense, 50)
    assert len(data.trials) == ROOM // len("tt 128×64×96") < MAX_COLUMNS
    assert f"{MARKED}50" in {trial.split(" (")[0] for trial in data.trials}
