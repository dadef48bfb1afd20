"""Workers as jobs of submitit: its local executor runs them on this machine; and what SLURM itself would be given."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from rankfront import RankfrontError, run
from rankfront.search.storage.slots import DIED
from tests.faults.ctrl_c import CtrlC
from tests.faults.processes import small_task
from tests.faults.test_workers import TRIALS, trials_of
from tests.postgres import PASSWORD

pytestmark = pytest.mark.slow


def asked(out: Path, database: str) -> dict[str, Any]:
    return {
        "out": out,
        "storage": database,
        "trials": TRIALS,
        "device": "cpu",
        "sampler": "knapsack",
        "cluster": "slurm",
        "resources": ["time=10"],
        "workers": 2,
    }


def test_ctrl_c_cancels_the_jobs_and_a_job_that_is_killed_is_followed_by_another(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM gives a job half a minute to free its trial; submitit's local executor gives it a second."""
    slurm_array = pytest.importorskip("rankfront.search.parallel.slurm_array", reason="uv sync installs submitit")
    monkeypatch.setattr(slurm_array, "EXECUTOR", "local")
    kill, killed, here = tmp_path / "kill", tmp_path / "killed", os.getpid()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if kill.exists() and outputs.requires_grad and os.getpid() != here:
            try:
                killed.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return nn.functional.cross_entropy(outputs, targets)

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(small_task(loss=loss), **asked(out, database), progress=CtrlC())
    kill.touch()
    more = {**asked(out, database), "trials": 2 * TRIALS}  # on a slow machine all may be done before Ctrl-C is seen
    result = run(small_task(loss=loss), **more, progress=False)
    assert len(result.records) == 2 * TRIALS
    assert any(DIED in trial.user_attrs for trial in trials_of(out, database, "blobs", 2 * TRIALS))
    assert "died by SIGKILL: another one takes its place" in (out / "run.log").read_text()
    kept = [path for path in out.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert not kept, "submitit writes jobs to files"


SBATCH = """#!/bin/sh
cp "$1" {folder}/submitted.sh
env > {folder}/environment
echo "sbatch: error: Batch job submission failed: Invalid partition name specified" >&2
exit 1
"""


def test_slurm_is_given_one_array_and_its_refusal_is_told(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit", reason="uv sync installs it")
    for name, text in {"sbatch": SBATCH.format(folder=tmp_path), "srun": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(RankfrontError, match=r"cluster slurm cannot take jobs: .*colour"):
        run(small_task(), **{**asked(tmp_path / "out", database), "resources": "time=5,colour=red"}, progress=False)
    resources = ["time=240", "partition=nowhere", "gpus_per_node=1"]
    with pytest.raises(RankfrontError, match=r"cluster slurm refuses the job: .*Invalid partition name") as told:
        run(small_task(), **{**asked(tmp_path / "out", database), "resources": resources}, progress=False)
    script = (tmp_path / "submitted.sh").read_text()
    for line in ("--array=0-1%", "--time=240", "--partition=nowhere", "--gpus-per-node=1", "--job-name=rankfront"):
        assert f"#SBATCH {line}" in script
    assert PASSWORD not in script + str(told.value)
    assert f"PGPASSWORD={PASSWORD}" in (tmp_path / "environment").read_text() and "PGPASSWORD" not in os.environ


@pytest.mark.parametrize(
    ("changes", "said"),
    [  # the last: this machine has no SLURM
        (
            {"storage": None},
            r"cluster needs a database that all machines reach: storage postgresql\+psycopg:",
        ),
        ({"cluster": "pbs"}, "cluster must be ray or slurm, but got 'pbs'"),
        ({"cluster": []}, "cluster must be ray or slurm, but got"),
        ({"cluster": None}, "resources is a cluster's: give cluster=ray or slurm, too"),
        ({"resources": None}, "resources must say how long a job may run, in minutes: time=240"),
        ({"resources": "time"}, "resources must be NAME=AMOUNT such as num_gpus=1, but got 'time'"),
        (
            {"cluster": "ray", "resources": "num_gpus=all"},
            "resources must be numbers with cluster ray, but num_gpus is",
        ),
        ({"address": "host:6379"}, "address is a Ray cluster's: leave it out with cluster slurm"),
        ({}, r"cluster slurm cannot take jobs: .*srun"),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, Any], said: str, tmp_path: Path, database: str) -> None:
    with pytest.raises(RankfrontError, match=said) as told:
        run(small_task(), **{**asked(tmp_path, database), **changes}, progress=False)
    assert PASSWORD not in str(told.value)
