"""The page's budgets: every one is a budget that its trial keeps, and the trial is what the command exports."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfront import Task
from rankfront.search.report.budgets import budget_data, percent_above
from rankfront.search.report.remarks import numbers, remarks_of
from rankfront.search.results.headline import headline_of
from rankfront.search.space.budget import Budget
from rankfront.search.storage.trials import Record
from tests.conftest import go


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_a_share_rounded_up_is_a_budget_that_is_kept(one: int, other: int) -> None:
    amount, whole = sorted((one, other))
    text = percent_above(amount, whole)
    share = float(text)
    assert amount <= share / 100 * whole
    assert share <= 100 * amount / whole * 1.011 + 1e-12  # three digits, rounded up


def test_every_budget_is_the_commands(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path / "out", budget=["params=60%", "flops=80%"], trials=6)
    data = budget_data(result)
    assert list(data["stops"]) == list(result.dense.costs) and data["metric"] == "params"
    for metric, stops in data["stops"].items():
        shares = [stop["share"] for stop in stops]
        assert shares == sorted(set(shares))
        for stop in stops:
            assert Budget.of(stop["budget"]).bounds[0].metric == metric
            assert result.best_trial(stop["budget"]).trial == stop["trial"]
            assert stop["trial"] in data["trials"]
        assert stops[-1]["trial"] == result.best_trial(f"{metric}=100%").trial
    start = data["stops"]["params"][data["start"]]
    assert start["trial"] == data["best"] == result.best_trial().trial


def test_remarks_that_differ_in_numbers_alone_are_one() -> None:
    said = ["over by 3.5 %", "over by 12 %", "", "NaN in epoch 2", "over by 1,204 %"]
    records = [Record(n, "pruned", False, None, None, None, None, text, {}) for n, text in enumerate(said)]
    first, second = remarks_of(records)
    assert (first.text, first.which, second.which) == ("over by 3.5 %", "0, 1, 4", "3")
    assert numbers(list(range(5, 9))) == "5–8"


@pytest.mark.parametrize("test", [True, False])
def test_the_headline_has_real_figures(task: Task, tmp_path: Path, test: bool) -> None:
    from dataclasses import replace

    result = go(task if test else replace(task, test=None), tmp_path / "out", budget="params=60%", trials=2)
    found, best = headline_of(result), result.best_trial()
    assert found is not None
    ratio = result.dense.metrics.params / best.metrics.params
    assert found.sentence.startswith(f"{ratio:.3g}× fewer parameters, ")
    score, dense = (
        (result.test_score(best.trial), result.test_score(None)) if test else (best.score, result.dense.score)
    )
    split = "test" if test else "validation"
    show = result.scale.show
    assert found.sentence.endswith(f"accuracy {show(score)} on {split} (dense {show(dense)})")
    assert f"on 200 {split} samples" in found.measured and "95 % interval [" in found.measured
    assert "faster" not in found.sentence + found.measured


def test_without_a_best_there_is_no_headline(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path / "out", budget="accuracy=150%", trials=1, sampler="knapsack")
    assert headline_of(result) is None and budget_data(result)["best"] is None
