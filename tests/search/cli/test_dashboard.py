"""``rankfront dashboard`` serves the study on this machine alone, with our front in it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from rankfront import Result, Task
from rankfront.search.cli.dashboard import HOST
from rankfront.search.cli.main import main
from rankfront.search.results.headline import headline_of
from tests.conftest import go


@pytest.fixture
def study(task: Task, tmp_path: Path) -> Path:
    go(task, tmp_path / "out", budget="params=60%", trials=2)
    return tmp_path / "out"


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_the_dashboard_gets_the_study_our_plots_and_a_note(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    plots = pytest.importorskip("optuna_dashboard._custom_plot_data")
    notes = pytest.importorskip("optuna_dashboard._note")
    served: list[Any] = []
    monkeypatch.setattr(dashboard, "run_server", lambda storage, **where: served.append((storage, where)))
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    assert ended("dashboard", str(study), "--port", str(port)) == 0
    ((storage, where),) = served
    assert where == {"host": "127.0.0.1", "port": port} and f"http://127.0.0.1:{port}/" in capsys.readouterr().out
    result = Result.open(study)
    stored = storage.get_study_system_attrs(result.study._study_id)
    found = plots.get_plotly_graph_objects(stored)
    assert {f"rankfront-{name}" for name in ("params", "flops")} == found.keys()
    headline = headline_of(result)
    assert headline is not None and headline.sentence in notes.get_note_from_system_attrs(stored, None)["body"]
    # The study goes on as before.
    assert ended("front", str(study)) == 0


def test_what_cannot_be_served_is_one_sentence(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna_dashboard")
    with socket.socket() as busy:
        busy.bind((HOST, 0))
        busy.listen()
        assert ended("dashboard", str(study), "--port", str(busy.getsockname()[1])) == 2
    assert "--port N names another" in capsys.readouterr().err
    assert ended("dashboard", str(study), "--port", "70000") == 2
    assert "port must be a whole number from 1 to 65535" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    assert ended("dashboard", str(study)) == 2
    assert "pip install 'rankfront[dashboard]'" in capsys.readouterr().err
