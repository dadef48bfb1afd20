"""Workers on a Ray cluster of two nodes, on this machine; a node is lost, and another joins."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from torch import Tensor, nn

from rankfront import RankfrontError, run
from rankfront.search.report.progress import Progress
from rankfront.search.storage.database import open_storage
from rankfront.search.storage.slots import DIED
from tests.conftest import give_up
from tests.faults.ctrl_c import CtrlC
from tests.faults.processes import small_task
from tests.faults.test_workers import TRIALS, trials_of
from tests.postgres import PASSWORD

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes with one CPU each, without what Ray needs on large machines alone."""
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # before ray is imported: see `ray_cluster`
    try:
        from ray.cluster_utils import Cluster
    except ImportError as error:
        give_up(f"Ray is not installed, uv sync installs it: {error}")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")  # a busy machine starts a node slowly
    folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie in it
    monkeypatch.setenv("RAY_TMPDIR", folder)  # Ray notes a cluster's address in its folder, one for all: here our own
    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "plasma_directory": folder, "include_log_monitor": False}
    made = Cluster()
    try:
        made.add_node(**node, include_dashboard=False, no_monitor=True)
        made.add_node(**node)
    except Exception as error:
        made.shutdown()
        give_up(f"Ray does not start on this machine: {error}")
    yield made, node
    made.shutdown()
    shutil.rmtree(folder)


def descends(process: int, from_: int) -> bool:
    """Return whether a process is another's child, or a child's child …"""
    while process not in (0, from_):
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return process == from_


class Loses(Progress):
    """Removes a node when the first trial has ended, and adds another."""

    def __init__(self, cluster: Any, node: dict[str, Any]) -> None:
        super().__init__(shown=False)
        self.lines: list[str] = []
        self._cluster, self._node = cluster, node
        self._lost = False

    def say(self, line: str = "") -> None:
        self.lines.append(line)
        if line.startswith("[") and not self._lost:
            self._lost = True
            (lost,) = self._cluster.worker_nodes
            self._cluster.remove_node(lost, allow_graceful=False)
            self._cluster.add_node(**self._node)


def test_ctrl_c_frees_all_trials_and_a_lost_node_is_made_up_for(
    cluster: tuple[Any, dict[str, Any]], database: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One test, for a cluster takes long to start."""
    made, node = cluster
    here, pipe, met = os.getpid(), tmp_path / "pipe", tmp_path / "met"
    (other,) = made.worker_nodes
    raylet = other.all_processes["raylet"][0].process.pid

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        """Wait for each other in the first trials; the one on the node that will be lost stays in its own."""
        if pipe.exists() and not met.exists() and outputs.requires_grad and os.getpid() != here:
            if descends(os.getpid(), raylet):  # a worker's parent is an actor, whose parent is its node's raylet
                with pipe.open("w"):
                    threading.Event().wait()
            with pipe.open():
                met.touch()
        return nn.functional.cross_entropy(outputs, targets)

    asked = {"out": tmp_path / "out", "storage": database, "trials": TRIALS, "device": "cpu", "sampler": "knapsack"}
    on_ray = {"cluster": "ray", "address": made.address, "resources": ["num_cpus=1"], "workers": "auto"}
    with pytest.raises(KeyboardInterrupt):
        run(small_task(loss=loss), **asked, **on_ray, progress=CtrlC())
    trials = optuna.load_study(study_name="blobs", storage=open_storage(database)).trials
    assert trials and all(trial.state.is_finished() and DIED not in trial.user_attrs for trial in trials)

    os.mkfifo(pipe)
    progress = Loses(made, node)
    result = run(small_task(loss=loss), **asked, **on_ray, progress=progress)
    assert len(result.records) == TRIALS
    trials = trials_of(tmp_path / "out", database, "blobs")
    assert sum(DIED in trial.user_attrs for trial in trials) == 1
    assert "2 workers on ray, each with num_cpus 1" in progress.lines
    assert sum("died by the loss of its node: another one takes its place" in line for line in progress.lines) == 1
    said, errors = capfd.readouterr()
    assert PASSWORD not in "\n".join([*progress.lines, said, errors])
    assert not any(PASSWORD.encode() in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_a_cluster_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ray_cluster = pytest.importorskip("rankfront.search.parallel.ray_cluster", reason="uv sync installs ray")
    monkeypatch.setattr(ray_cluster, "REACH_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (1, silent.getsockname()[1]):
            with (
                pytest.raises(RankfrontError, match=rf"a Ray cluster that runs, but 127\.0\.0\.1:{port} is none"),
                ray_cluster.connected(f"127.0.0.1:{port}"),
            ):
                pass
