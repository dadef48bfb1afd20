"""The process is left as it was found."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from rankfront import RankfrontError, Result, Task
from rankfront.search.cli.main import main
from rankfront.search.storage.database import open_storage
from tests.conftest import go


@pytest.fixture
def verbosity() -> Iterator[int]:
    """Optuna's verbosity, which is not the one that a run needs."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    yield optuna.logging.INFO
    optuna.logging.set_verbosity(before)


@pytest.mark.parametrize("arguments", [["--version"], ["run", "nope"], ["front", "nowhere"]], ids=" ".join)
def test_sigterm_is_handled_as_before(arguments: list[str]) -> None:
    def handler(*_: object) -> None:
        raise AssertionError

    outer = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(SystemExit):
            main(arguments)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, outer)


def test_optunas_verbosity_is_as_before(task: Task, tmp_path: Path, verbosity: int) -> None:
    go(task, tmp_path / "out", trials=1, sampler="knapsack")
    assert optuna.logging.get_verbosity() == verbosity
    Result.open(tmp_path / "out")
    open_storage(f"sqlite:///{tmp_path}/other.db")
    assert optuna.logging.get_verbosity() == verbosity
    with pytest.raises(RankfrontError):
        go(task, tmp_path / "out", trials=2, seed=1)
    assert optuna.logging.get_verbosity() == verbosity


def test_a_run_says_nothing_of_optunas(
    task: Task, tmp_path: Path, verbosity: int, capfd: pytest.CaptureFixture[str]
) -> None:
    go(task, tmp_path / "out", trials=1, sampler="knapsack")
    assert capfd.readouterr().err == ""


def test_the_path_and_the_modules_are_as_before_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("NAME = 'wrong'\n")
    (tmp_path / "mystudy.py").write_text("import sys\nsys.path.insert(0, 'gone')\nimport beside\nstudy = beside.NAME\n")
    path = list(sys.path)
    with pytest.raises(SystemExit):
        main(["run", "mystudy.py"])
    assert sys.path == path
    assert "mystudy" not in sys.modules
    sys.modules.pop("beside", None)
