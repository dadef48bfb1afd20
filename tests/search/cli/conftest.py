"""The command line in a folder with a user's study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rankfront.search.cli.main import main

STUDY = """
from rankfront import FineTune, Task
from tests.conftest import blobs, trained_perceptron

def study(seed):
    return Task(trained_perceptron(), blobs(400, 1), blobs(200, 2), blobs(200, 3), calibration=200,
                finetune=FineTune(epochs=1, lr=1e-2, batch_size=100), trials=4, budget="params=60%")
"""

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rankfront(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """The command, run in ``tmp_path`` where ``mine.py`` is a user's study: returns code, stdout, stderr."""
    root = Path(__file__).resolve().parents[3]
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(STUDY)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call
