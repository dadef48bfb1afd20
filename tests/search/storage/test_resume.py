"""A study that goes on: where it stopped, to the same front, and as no other study."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from optuna.trial import TrialState

from rankfront import RankfrontError, Result, Task, run
from tests.conftest import blobs, go, perceptron


def trial_rows(out: Path) -> list[tuple[Any, ...]]:
    trials = Result.open(out).trials
    return [tuple(row) for row in trials[["state", "accuracy", "params", "flops"]].itertuples(index=False)]


@pytest.mark.parametrize("missing", [(), ("manifest.json",), ("study.db",)])
def test_another_study_does_not_get_into_the_folder(task: Task, tmp_path: Path, missing: tuple[str, ...]) -> None:
    result = go(task, tmp_path / "out", trials=2)
    weights = {path.name: path.read_bytes() for path in (tmp_path / "out" / "models").iterdir()}
    for name in missing:
        (tmp_path / "out" / name).unlink()
    with pytest.raises(RankfrontError, match=f"holds study '{result.study.study_name}', not 'other'; give another"):
        go(replace(task, name="other"), tmp_path / "out", trials=3)
    assert weights == {path.name: path.read_bytes() for path in (tmp_path / "out" / "models").iterdir()}


def test_goes_on_where_it_stopped_and_ends_at_n(task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go(task, tmp_path / "whole", trials=8)
    go(task, tmp_path / "parts", trials=3)
    run(task, out=tmp_path / "parts", device="cpu", trials=8)
    assert "resuming: 3 of 8 trials done" in capsys.readouterr().out
    assert trial_rows(tmp_path / "parts") == trial_rows(tmp_path / "whole")


def test_with_n_done_it_only_rebuilds_the_outputs(
    task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go(task, tmp_path / "out", trials=3)
    (tmp_path / "out" / "report.html").unlink()
    monkeypatch.setattr("rankfront.objectives.objective.Objective.__call__", None)
    monkeypatch.setattr("rankfront.objectives.objective.Objective.prepare", None)
    run(task, out=tmp_path / "out", device="cpu", trials=3)
    assert "3 trials done, 3 asked for" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_front(tmp_path: Path) -> None:
    """``kill -9`` in the middle of a study, twice; then the same command to the end."""
    script = tmp_path / "study.py"
    script.write_text(
        textwrap.dedent("""
        import sys, torch
        from rankfront import FineTune, Task, run
        from tests.conftest import blobs, trained_perceptron
        torch.set_num_threads(1)
        task = Task(trained_perceptron(), blobs(400, 1), blobs(200, 2), name="blobs", calibration=200,
                    finetune=FineTune(epochs=3, lr=1e-2, batch_size=20))
        run(task, out=sys.argv[1], trials=8, device="cpu")
        """)
    )
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}

    def start(out: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(script), str(tmp_path / out)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)

    whole = start("whole")
    whole.communicate()
    assert whole.returncode == 0
    for done_before_the_kill in (1, 3):
        process = start("killed")
        assert process.stdout is not None
        assert any(line.startswith(f"[{done_before_the_kill}/8]") for line in process.stdout)  # reads up to it
        process.send_signal(signal.SIGKILL)
        process.communicate()
    last = start("killed")
    output, _ = last.communicate()
    assert last.returncode == 0 and "resuming" in output
    assert sorted(trial_rows(tmp_path / "killed")) == sorted(trial_rows(tmp_path / "whole"))
    columns = ["accuracy", "params", "flops", "bytes"]
    fronts = [pd.read_csv(tmp_path / name / "front.csv")[columns] for name in ("killed", "whole")]
    pd.testing.assert_frame_equal(*fronts)


@pytest.mark.parametrize(("sampler", "finished"), [("knapsack", 2), ("directions", 1)])
def test_ctrl_c_stores_what_is_finished(task: Task, tmp_path: Path, sampler: str, finished: int) -> None:
    calls = 0

    def score(outputs: Any, targets: Any) -> float:
        nonlocal calls
        whole = len(targets) == 200  # and no probe, by which the study is known
        calls += whole
        # The dense model's, then two for each trial; `directions` scores the smallest network after the first.
        if whole and calls == 6:
            raise KeyboardInterrupt
        return float((outputs.argmax(1) == targets).float().mean())

    interrupted = replace(task, score=score)
    with pytest.raises(KeyboardInterrupt):
        go(interrupted, tmp_path / "out", sampler=sampler)
    result = Result.open(tmp_path / "out")
    assert len(result.trials) == finished
    assert (tmp_path / "out" / "front.csv").exists()
    result = go(interrupted, tmp_path / "out", sampler=sampler)
    assert len(result.trials) == 6
    states = [t.state for t in result.study.trials]
    assert states.count(TrialState.COMPLETE) == 6 and states.count(TrialState.FAIL) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "its seed is 0, not 1"),
        ({"budget": "params=50%"}, "its budget is 'params=60%', not 'params=50%'"),
        ({"sampler": "random"}, "its sampler is 'directions', not 'random'"),
        ({"objectives": ("accuracy", "params")}, "its objectives"),
    ],
)
def test_a_study_of_other_settings_is_refused(task: Task, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    go(task, tmp_path / "out", budget="params=60%", trials=2)
    with pytest.raises(RankfrontError, match=said):
        go(task, tmp_path / "out", trials=3, **{"budget": "params=60%", **change})


def test_a_study_of_another_model_or_data_is_refused(task: Task, tmp_path: Path) -> None:
    go(task, tmp_path / "out", trials=1)
    with pytest.raises(RankfrontError, match="it differs in the model's weights"):
        go(replace(task, model=perceptron(seed=4)), tmp_path / "out", trials=2)
    with pytest.raises(RankfrontError, match="it differs in the training data's inputs"):
        go(replace(task, train=blobs(400, 9)), tmp_path / "out", trials=2)
