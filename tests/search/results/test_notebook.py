"""What a notebook shows of a result: its figures are those of the table, and no name in it is markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
import torchmetrics

from rankfront import Task
from rankfront.search.results.headline import headline_of
from rankfront.search.results.notebook import LEFT, RIGHT, ROWS
from rankfront.search.results.plots.score import Point, ScorePlot
from rankfront.search.results.plots.window import Window
from tests.conftest import go


def text_of(element: ElementTree.Element) -> str:
    return "".join(element.itertext())


def test_a_result_is_a_sentence_a_table_and_a_figure(task: Task, tmp_path: Path) -> None:
    result = go(replace(task, name="<script>alert(1)</script>"), tmp_path / "out", budget="params=60%", trials=6)
    shown = result._repr_html_()
    assert "<script" not in shown and "http" not in shown and len(shown) < 30_000
    page = ElementTree.fromstring(re.sub(r"&nbsp;", " ", shown))  # it is well-formed
    headline, best = headline_of(result), result.best_trial()
    assert headline is not None and headline.sentence in text_of(page) and headline.measured in text_of(page)
    rows = [[text_of(cell) for cell in row] for row in page.iter("tr")]
    assert [row[0] for row in rows] == ["trial", *(str(t) for t in result.front["trial"]), "dense"]
    marked = [text_of(row[0]) for row in page.iter("tr") if "background" in row.get("style", "")]
    assert marked == [str(best.trial)]
    assert result.scale.show(best.score) in next(row for row in rows if row[0] == str(best.trial))
    titles = [text_of(title) for title in page.iter("title")]
    assert any(title.startswith(f"trial {best.trial}: accuracy {result.scale.show(best.score)}") for title in titles)
    for circle in page.iter("circle"):
        assert LEFT <= float(circle.get("cx", "nan")) <= RIGHT


def test_a_long_front_is_cut_but_not_the_best(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankfront.search.results.notebook.ROWS", 2)
    result = go(task, tmp_path / "out", budget="params=60%", trials=6)
    page = ElementTree.fromstring(re.sub(r"&nbsp;", " ", result._repr_html_()))
    rows = [text_of(row[0]) for row in page.iter("tr")][1:]
    assert ROWS > 2 and str(result.best_trial().trial) in rows and rows[-1] == "dense" and len(rows) <= 3
    assert f"and {len(result.front) + 1 - len(rows)} more" in text_of(page)


def test_a_score_that_is_minimised_and_a_result_without_a_best(task: Task, tmp_path: Path) -> None:
    hinge = replace(task, score=torchmetrics.HingeLoss("multiclass", num_classes=4))
    shown = go(hinge, tmp_path / "out", budget="params=60%", trials=2)._repr_html_()
    assert "multiclass hinge loss" in shown and "<svg" in shown
    none = go(task, tmp_path / "none", budget="accuracy=150%", trials=1, sampler="knapsack")
    assert "No trial is complete within the budget yet" in none._repr_html_()


def test_places_in_a_window_are_those_of_its_ticks(task: Task, tmp_path: Path) -> None:
    scale = go(task, tmp_path / "out", budget="params=60%", trials=1, sampler="knapsack").scale
    front = [Point(0, 2.0, 0.9, ""), Point(1, 20.0, 0.95, ""), Point(2, 40.0, 0.96, "")]
    window = Window.of(ScorePlot(scale, "params", [Point(3, 0.001, 0.1, "")], 1, front, [], 0.97, 50.0))
    assert [point.trial for _, _, point in window.inside(front)] == [0, 1, 2]
    assert window.inside([Point(3, 0.001, 0.1, ""), Point(4, 0.0, 0.96, "")]) == []
    places = dict((text, place) for place, text in window.across)
    assert places["20 %"] == pytest.approx(window.right_of(20.0))
    heights = dict((float(text), place) for place, text in window.up)
    assert 2 <= len(heights) <= 7 and all(window.above(text / 100) == pytest.approx(y) for text, y in heights.items())
