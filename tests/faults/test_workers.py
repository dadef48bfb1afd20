"""``run`` with several workers of its own: one is killed, all are stopped, the one who started them is killed."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from torch import Tensor, nn

from rankfront import FineTune, RankfrontError, Task, run
from rankfront.search.cli.main import main
from rankfront.search.report.progress import Progress
from rankfront.search.storage.database import database_of, open_storage
from rankfront.search.storage.folder import Folder
from rankfront.search.storage.locks import locks_of
from rankfront.search.storage.slots import DIED, SLOT, was_interrupted
from rankfront.search.study.workers import WORKER
from tests.conftest import blobs, trained_perceptron
from tests.faults.ctrl_c import CtrlC
from tests.faults.processes import code_of, small_task, study
from tests.postgres import PASSWORD

pytestmark = pytest.mark.slow

TRIALS = 6

STUDY = """
import os, signal
from pathlib import Path
from torch.nn.functional import cross_entropy
from rankfront import FineTune, Task
from tests.conftest import blobs, trained_perceptron

def loss(outputs, targets):
    if outputs.requires_grad and str(os.getpid()) != os.environ["RANKFRONT_TEST_PARENT"]:
        try:
            Path("killed").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return cross_entropy(outputs, targets)

def study(seed):
    return Task(trained_perceptron(), blobs(200, 1), blobs(200, 2), blobs(200, 3), loss=loss, calibration=100,
                finetune=FineTune(epochs=1, lr=1e-2, batch_size=50, distill=0), budget="params=60%", kinds=("svd",))
"""


def trials_of(out: Path, storage: str | None, name: str, count: int = TRIALS) -> list[optuna.trial.FrozenTrial]:
    """Return all trials; each slot must have one, complete."""
    trials = optuna.load_study(study_name=name, storage=open_storage(database_of(out, storage))).trials
    held = [trial for trial in trials if not was_interrupted(trial)]
    assert sorted(trial.user_attrs[SLOT] for trial in held) == list(range(count))
    assert {trial.state for trial in held} == {TrialState.COMPLETE}
    return trials


def test_one_of_two_workers_is_killed(
    storage: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKFRONT_TEST_PARENT", str(os.getpid()))
    (tmp_path / "mine.py").write_text(STUDY)
    options = ["--out", "out", "--device", "cpu", "--sampler", "knapsack", "--trials", str(TRIALS), "--workers", "2"]
    with pytest.raises(SystemExit) as stop:
        main(["run", "mine.py", *options, *([] if storage is None else ["--storage", storage])])
    said, errors = capfd.readouterr()
    assert stop.value.code == 0, errors
    trials = trials_of(tmp_path / "out", storage, "mine")
    assert sum(DIED in trial.user_attrs for trial in trials) == 1
    assert len({trial.user_attrs[WORKER] for trial in trials}) > 1
    assert "2 workers, each with 1 of the CPU's threads" in said
    assert "died by SIGKILL: another one takes its place" in said
    log = (tmp_path / "out" / "run.log").read_text().splitlines()
    assert sum(line.startswith("dense model:") for line in log) == 1, "all is prepared, and told, once"
    lines = Counter(line.partition("]")[0] for line in log if line.startswith("["))
    assert lines == {f"[{slot + 1}/{TRIALS}": 1 for slot in range(TRIALS)}
    assert not any(PASSWORD.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert PASSWORD not in said + errors


def test_a_task_made_in_python_is_stopped_and_gone_on_with(tmp_path: Path) -> None:
    class Net(nn.Module):  # no module has it: it must be sent as it is
        def __init__(self) -> None:
            super().__init__()
            self.layers = trained_perceptron()

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    task = Task(
        Net(),
        blobs(200, 1),
        blobs(200, 2),
        name="blobs",
        loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets),
        finetune=FineTune(epochs=1, lr=1e-2, batch_size=50),
        calibration=100,
        kinds=("svd",),
    )
    asked = {"out": tmp_path, "trials": TRIALS, "device": "cpu", "sampler": "knapsack", "workers": 2}
    with pytest.raises(KeyboardInterrupt):
        run(task, **asked, progress=CtrlC())
    trials = optuna.load_study(study_name="blobs", storage=open_storage(database_of(tmp_path, None))).trials
    assert trials and all(trial.state.is_finished() and DIED not in trial.user_attrs for trial in trials)
    assert locks_of(Folder(tmp_path), None, "blobs").remove_dead() == 0
    assert len(run(task, **asked, progress=False).records) == TRIALS
    trials_of(tmp_path, None, "blobs")


def test_a_task_that_cannot_be_sent_is_told_before_anything_is_prepared(tmp_path: Path) -> None:
    lock = threading.Lock()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        with lock:
            return nn.functional.cross_entropy(outputs, targets)

    with pytest.raises(RankfrontError, match="workers needs a task that can be sent to other processes, but this one"):
        run(small_task(loss=loss), out=tmp_path, trials=2, device="cpu", workers=2, progress=False)
    assert not (tmp_path / "layers.json").exists()


class KillMe(Progress):
    """Kills this process when the first trial has ended."""

    def __init__(self) -> None:
        super().__init__(shown=False)

    def say(self, line: str = "") -> None:
        if line.startswith("["):
            os.kill(os.getpid(), signal.SIGKILL)


def in_workers(out: Path) -> None:
    run(small_task(), out=out, trials=TRIALS, budget="params=70%", device="cpu", workers=2, progress=KillMe())


def test_workers_end_when_the_one_who_started_them_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert code_of(in_workers, out) == -signal.SIGKILL
    while locks_of(Folder(out), None, "blobs").remove_dead():
        pass  # the system frees a worker's lock when it has ended
    assert code_of(study, out, TRIALS) == 0
    trials_of(out, None, "blobs")
