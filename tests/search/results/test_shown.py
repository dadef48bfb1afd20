"""What `print` shows of a task, of a result, and of what `finish` returns: short, and no network."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankfront import Task, finish
from rankfront.search.cli.main import main
from tests.conftest import go


def test_a_result_is_the_table_of_the_command_line(
    task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = go(task, tmp_path / "out", budget="params=60%", trials=1)
    assert repr(result) == "<Result of 'blobs': 1 trial, 1 on the front>"
    with pytest.raises(SystemExit):
        main(["front", str(tmp_path / "out")])
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    first, *table = str(result).splitlines()
    assert first == repr(result) and table == printed[: len(table)] and table[-1].lstrip().startswith("dense")
    done = repr(finish(task, tmp_path / "out", epochs=1, device="cpu", progress=False))
    assert "trial=0, before=" in done and "Linear" not in done and "\n" not in done


def test_a_task_is_one_line(task: Task) -> None:
    assert repr(task) == (
        "<Task 'blobs': Sequential of 548 parameters, samples: train 400, validation 200, test 200, score accuracy>"
    )
    assert "test" not in repr(Task(task.model, task.train, task.validation))


def test_a_result_without_a_best_trial_is_printed_all_the_same(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path / "out", budget="accuracy=150%", trials=1, sampler="knapsack")
    assert "dense" in str(result) and "→" not in str(result)
