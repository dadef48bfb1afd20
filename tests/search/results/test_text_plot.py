"""The plot of characters: every mark is where its figures are."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankfront import Task
from rankfront.search.cli.main import main
from rankfront.search.results.plots.figures import plotted, score_plot
from rankfront.search.results.plots.window import Window
from rankfront.search.results.text_plot import COLUMNS, LINES, text_plot
from tests.conftest import go


def test_marks_are_where_figures_are(task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = go(task, tmp_path / "out", budget="params=60%", trials=6)
    plot = text_plot(result)
    lines = plot.splitlines()
    start = next(n for n, char in enumerate(lines[0]) if char in "│┤") + 1
    rows = [line[start:].ljust(COLUMNS) for line in lines[:LINES]]
    data = score_plot(result, plotted(result)[0])
    window = Window.of(data)
    marks = {(round((LINES - 1) * (1 - y)), round((COLUMNS - 1) * x)) for x, y, _ in window.inside(data.front)}
    found = {(n, m) for n, row in enumerate(rows) for m, char in enumerate(row) if char in "●◆"}
    assert found == marks and sum(row.count("◆") for row in rows) == 1
    assert data.best is not None and data.best.trial == result.best_trial().trial
    assert max(map(len, lines)) < 80
    with pytest.raises(SystemExit):
        main(["front", str(tmp_path / "out"), "--plot"])
    assert plot in capsys.readouterr().out
