"""What is shown while a study runs: in a terminal, in a notebook, and in the log."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from rankfront import Task, run
from rankfront.objectives.phases import PROPOSING, SCORING, SCREENING, TRAINING, Phases
from rankfront.search.report import cell
from rankfront.search.report.progress import LOG_INTERVAL_S, TRIALS, Progress
from rankfront.search.report.under_way import UnderWay


class Clock:
    """A clock that stands until it is moved on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def ten_of_forty(progress: Progress, clock: Clock) -> None:
    """Two trials ended before this run, eight in the last four minutes."""
    progress(TRIALS, 2, 40)
    clock.now += 240.0
    progress.best("trial 7 with accuracy 98.0 %, params 9.9 %")
    progress("[11/40] trial 10: training", 10, 40)
    clock.now += 3.0
    progress("[11/40] trial 10: training", 40 - 20, 40)
    progress(TRIALS, 10, 40)


STANDING = "trials: 10 of 40, 15 min left", "2 a minute", "best so far: trial 7 with accuracy 98.0 %, params 9.9 %"


def test_the_log_says_now_and_then_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Progress(clock=clock)
    progress.log_to(tmp_path / "run.log")
    with progress:
        ten_of_forty(progress, clock)
        first = capsys.readouterr().out
        progress("[11/40] trial 10: training", 21, 40)
        clock.now += LOG_INTERVAL_S - 4
        progress("[11/40] trial 10: training", 22, 40)
        assert capsys.readouterr().out == "", "not too often"
        progress("decomposing", 1, 4)
        clock.now += 1
        progress("decomposing", 2, 4)
    out = capsys.readouterr().out.splitlines()
    assert len(first.splitlines()) == 1 and first.startswith("  ")
    assert out[0] == "decomposing …", "what begins is said at once"
    assert len(out) == 1, "and resets the time"
    assert (tmp_path / "run.log").read_text() == first + "decomposing …\n"


def test_the_log_has_the_pace_the_time_left_and_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Progress(clock=clock)
    ten_of_forty(progress, clock)
    capsys.readouterr()
    clock.now += LOG_INTERVAL_S
    progress("[11/40] trial 10: training", 30, 40)
    said = capsys.readouterr().out
    assert "trials: 10 of 40, 17 min left; [11/40] trial 10: training: 30 of 40, 16 s left; 1.8 a minute" in said
    assert STANDING[2] in said


def test_a_terminal_shows_the_same_and_its_log_as_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    clock = Clock()
    progress = Progress(clock=clock)
    progress.log_to(tmp_path / "run.log")
    with progress:
        ten_of_forty(progress, clock)
        clock.now += LOG_INTERVAL_S
        progress("calibrating", 0, 2)
        progress.say("a line")
    shown = capsys.readouterr().out
    for part in ("10 of 40", "17 min left", "1.8 a minute", STANDING[2], "[11/40] trial 10: training", "calibrating"):
        assert part in shown, part
    log = (tmp_path / "run.log").read_text().splitlines()
    assert log[-2:] == ["calibrating …", "a line"] and "best so far" in log[0]
    assert "calibrating …" not in shown, "a bar says it"


def test_a_notebook_gets_one_output_that_changes_in_place_and_lines_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    updates: list[dict[str, str]] = []

    def display(bundle: dict[str, str], **_: Any) -> Any:
        updates.append(bundle)
        return SimpleNamespace(update=lambda bundle, raw: updates.append(bundle))

    module = ModuleType("IPython.display")
    monkeypatch.setattr(module, "display", display, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "IPython.display", module)
    monkeypatch.setattr(Console, "is_jupyter", True, raising=False)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(cell, "INTERVAL_S", 0.0)
    clock = Clock()
    with Progress(clock=clock) as progress:
        ten_of_forty(progress, clock)
        progress.say("[10/40] trial 9 <b>")
    assert updates[0] == updates[-1] == {"text/html": "", "text/plain": ""}, "a saved notebook holds none of it"
    html, text = updates[-2]["text/html"], updates[-2]["text/plain"]
    assert "<progress value=10 max=40>" in html and "trials: 10 of 40" in text
    assert all(part in text and part in html for part in STANDING)
    assert "\r" not in text and capsys.readouterr().out == "[10/40] trial 9 <b>\n"


class Noted(Progress):
    """Notes what has a bar."""

    def __init__(self) -> None:
        super().__init__(shown=False)
        self.bars: list[str] = []
        self.bests: list[str] = []

    def __call__(self, what: str, done: int, total: int) -> None:
        super().__call__(what, done, total)
        self.bars.append(what)

    def best(self, line: str) -> None:
        self.bests.append(line)


def test_one_bar_says_what_is_going_on() -> None:
    progress = Noted()
    under_way = UnderWay(progress)
    phases = Phases(told=under_way.phase)
    with phases(PROPOSING), phases(SCREENING):
        pass
    under_way.trial("[1/4] trial 0")
    with phases(TRAINING):
        under_way.steps(3, 9)
        with phases(SCORING):
            assert list(progress._bars) == ["[1/4] trial 0: scoring"]
    under_way.trial("")
    assert list(progress._bars) == []
    screening = "screening: networks scored before fine-tuning"
    trial = "[1/4] trial 0: training"
    expected = ["proposing a plan", screening, "proposing a plan", trial, trial, "[1/4] trial 0: scoring", trial]
    assert progress.bars == expected


def test_a_study_shows_what_it_does_and_its_best(task: Task, tmp_path: Path) -> None:
    progress = Noted()
    result = run(task, budget="params=60%", trials=4, out=tmp_path, device="cpu", progress=progress)
    for phase in ("proposing a plan", "[1/4] trial 0: refitting", "[4/4] trial 3: training", "screening: ", TRIALS):
        assert any(what.startswith(phase) for what in progress.bars), phase
    assert progress.bests[0] == "" and progress.bests[-1].startswith(f"trial {result.best_trial().trial} with accuracy")
    assert progress.bars[-1] != TRIALS and not progress._bars, "nothing is left"
