"""The data of the score's plots."""

from __future__ import annotations

from dataclasses import replace

from rankfront import Result
from rankfront.search.results.plots.score import MAX_POINTS, draw_score, score_data


def test_data_of_the_score_plot(result: Result) -> None:
    data = score_data(result.scored, "params", result.dense, 100.0)
    assert len(data.front) + len(data.others) == len(result.scored)
    shares = [point.share for point in data.front]
    assert shares == sorted(shares) and max(shares) <= 60
    assert [point.score for point in data.front] == sorted({point.score for point in data.front})
    assert all(low <= point.score <= high for point, (low, high) in zip(data.front, data.intervals, strict=True))
    assert data.limit_share == 100 * 100 / result.dense.metrics.params
    assert "<br>0: " in data.front[0].hover


def test_of_very_many_trials_some_are_drawn_and_the_whole_front(result: Result) -> None:
    many = [replace(t, trial=n) for n, t in enumerate(result.scored * 400)]
    data = score_data(many, "params", result.dense, 100.0)
    few = score_data(result.scored, "params", result.dense, 100.0)
    assert few.nth == 1 and [point.score for point in data.front] == [point.score for point in few.front]
    assert data.nth == 4 and len(data.others) == -(-(len(many) - len(data.front)) // 4) <= MAX_POINTS
    assert draw_score(data).data[0].name == "trial (one in 4)"  # pyright: ignore
