"""Workers on a Ray cluster of two nodes, on this machine; a node is lost, and another joins."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from rankfront import RankfrontError, run
from rankfront.search.report.progress import Progress
from rankfront.search.storage.slots import DIED
from rankfront.search.study.workers import WORKER
from tests.faults.ctrl_c import CtrlC
from tests.faults.processes import small_task
from tests.faults.test_workers import TRIALS, trials_of
from tests.postgres import PASSWORD

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without a CPU, and two nodes with one CPU each."""
    if os.environ.get("CI") is None:
        pytest.importorskip("ray", reason="uv sync installs it")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_worker_niceness", "0")
        patched.setenv("RAY_raylet_start_wait_time_s", "300")  # a busy machine starts a node slowly
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        made.add_node(num_cpus=1)
        made.add_node(num_cpus=1)
        yield made
        made.shutdown()


def ancestor(process: int) -> int:
    """Return a process's parent."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def raylet(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


class Loses(Progress):
    """Removes the node on which a trial is under way, and adds another."""

    def __init__(self, cluster: Any, held: Path) -> None:
        super().__init__(shown=False)
        self.lines: list[str] = []
        self._cluster, self._held = cluster, held
        self._lost = False

    def say(self, line: str = "") -> None:
        self.lines.append(line)
        if line.startswith("[") and not self._lost:
            self._lost = True
            while not (self._held.exists() and (found := self._held.read_text()).endswith("\n")):
                os.sched_yield()  # the other worker comes to its first trial
            node = next(n for n in self._cluster.worker_nodes if raylet(n) == int(found))
            self._cluster.remove_node(node, allow_graceful=False)
            self._cluster.add_node(num_cpus=1)


@pytest.mark.clusters
def test_a_node_is_lost_and_another_joins(
    cluster: Any, database: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    held, here = tmp_path / "held", os.getpid()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad and os.getpid() != here:
            try:
                held.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:  # this process's parent is an actor, whose parent is its node's raylet
                held.write_text(f"{ancestor(os.getppid())}\n")
                threading.Event().wait()
        return nn.functional.cross_entropy(outputs, targets)

    progress = Loses(cluster, held)
    asked = {"out": tmp_path / "out", "storage": database, "trials": TRIALS, "device": "cpu", "sampler": "knapsack"}
    result = run(
        small_task(loss=loss),
        **asked,
        cluster="ray",
        address=cluster.address,
        resources=["num_cpus=1"],
        workers="auto",
        progress=progress,
    )
    assert len(result.records) == TRIALS
    trials = trials_of(tmp_path / "out", database, "blobs")
    assert sum(DIED in trial.user_attrs for trial in trials) == 1
    assert len({trial.user_attrs[WORKER] for trial in trials}) > 1
    assert "2 workers on ray, each with num_cpus 1" in progress.lines
    assert sum("died by the loss of its node: another one takes its place" in line for line in progress.lines) == 1
    said, errors = capfd.readouterr()
    assert PASSWORD not in "\n".join([*progress.lines, said, errors])
    assert not any(PASSWORD.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.clusters
def test_ctrl_c_frees_the_trials_of_all_nodes(cluster: Any, database: str, tmp_path: Path) -> None:
    asked = {"out": tmp_path, "storage": database, "trials": TRIALS, "device": "cpu", "sampler": "knapsack"}
    with pytest.raises(KeyboardInterrupt):
        run(small_task(), **asked, cluster="ray", address=cluster.address, workers=2, progress=CtrlC())
    run(small_task(), **asked, progress=False)
    assert not any(DIED in trial.user_attrs for trial in trials_of(tmp_path, database, "blobs"))


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
