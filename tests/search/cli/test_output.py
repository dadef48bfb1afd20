"""What a run prints, and where: ``--quiet``, ``--json``, and the log in the study's folder."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from rankfront import Task
from rankfront.search.cli.main import main
from rankfront.search.report.log import Log
from rankfront.search.report.progress import Progress
from tests.conftest import go
from tests.search.cli.conftest import STUDY


@pytest.fixture(autouse=True)
def study_beside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[3]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(STUDY + "\nimport os\nprint('from the study')\nos.write(1, b'from below\\n')\n")


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_the_log_has_the_terminals_lines_and_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert ended("run", "mine.py", "--trials", "1") == 0
    first = capsys.readouterr().out
    log = (tmp_path / "runs/mine/run.log").read_text()
    assert log == first.replace("from the study\n", "") and "[1/1] trial 0" in log and log.startswith("loading mine.py")
    assert ended("run", "mine.py", "--trials", "2") == 0
    second = capsys.readouterr().out.replace("from the study\n", "")
    assert (tmp_path / "runs/mine/run.log").read_text() == log + second and "resuming" in second


def test_quiet_says_nothing_but_logs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(STUDY)
    assert ended("run", "mine.py", "--trials", "1", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert "[1/1] trial 0" in (tmp_path / "runs/mine/run.log").read_text()
    assert ended("run", "mine.py", "--seed", "1", "--quiet") == 2
    assert capsys.readouterr().err.startswith("rankfront: error: ")


def test_json_is_all_that_stdout_gets(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert ended("run", "mine.py", "--trials", "2", "--json") == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert "from the study" in err and "from below" in err and "[2/2] trial 1" in err
    assert found["study"] == "mine" and found["trials"] == 2 and found["folder"] == "runs/mine"
    assert found["best"] in [row["trial"] for row in found["front"]] and found["headline"] in err
    assert ended("front", "runs/mine", "--json") == 0
    assert json.loads(capfd.readouterr().out) == found


def test_json_of_an_error_is_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended("run", "nope", "--json") == 2
    out, err = capfd.readouterr()
    assert out == "" and "STUDY must be one of" in err


def test_what_a_study_file_makes_wrong_is_told_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(textwrap.dedent(STUDY).replace("trials=4", "trials='ten'"))
    assert ended("run", "mine.py") == 2
    line = 1 + STUDY.splitlines().index("    return Task(trained_perceptron(), blobs(400, 1), blobs(200, 2), "
                                        "blobs(200, 3), calibration=200,")  # fmt: skip
    said = f"trials must be a whole number, 1 or more, but got 'ten' (study, mine.py line {line})"
    assert said in capsys.readouterr().err


def test_a_full_disk_stops_no_study_and_is_told_once(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    progress = Progress()
    progress.say("before")
    progress.log_to(Path("/dev/full"))
    progress.say("one")
    progress.say("two")
    out = capsys.readouterr().out
    assert out.splitlines() == ["before", "one", "lines are missing from the log: No space left on device", "two"]


def test_a_log_that_cannot_be_opened_stops_no_study(task: Task, tmp_path: Path) -> None:
    (tmp_path / "out" / "run.log").mkdir(parents=True)
    assert go(task, tmp_path / "out", budget="params=60%", trials=1, sampler="knapsack").records


def test_a_log_keeps_what_utf8_cannot_write(tmp_path: Path) -> None:
    log = Log()
    log("first \udcff")
    log.open(tmp_path / "run.log")
    log("second →")
    assert (tmp_path / "run.log").read_text("utf-8").splitlines() == ["first \\udcff", "second →"]
    assert not log.trouble
