"""What each worker gets of a machine, and how many suit one."""

from __future__ import annotations

import pytest
import torch

from rankfront.search.parallel import shares
from rankfront.search.parallel.shares import THREADS, VISIBLE, as_many_as_fit, gpus_of, share


@pytest.mark.parametrize(
    ("visible", "there", "names"),
    [("", 2, ["0", "1"]), ("3, 5,7", 3, ["3", "5", "7"]), ("GPU-a,GPU-b,9", 2, ["GPU-a", "GPU-b"])],
)
def test_each_worker_has_a_gpu(monkeypatch: pytest.MonkeyPatch, visible: str, there: int, names: list[str]) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    gpus = gpus_of(torch.device("cuda"))
    assert gpus == names and as_many_as_fit(gpus) == there
    assert [share(index, there + 1, 8, gpus)[VISIBLE] for index in range(there + 1)] == [*names, names[0]]
    assert gpus_of(torch.device("cpu")) == []


@pytest.mark.parametrize(("count", "threads", "each"), [(2, 8, "4"), (3, 8, "2"), (4, 2, "1")])
def test_threads_are_divided(count: int, threads: int, each: str) -> None:
    assert share(0, count, threads, []) == dict.fromkeys(THREADS, each)


@pytest.mark.parametrize(("cores", "memory", "workers"), [(8, 100, 8), (8, 35, 3), (8, 5, 1), (1, 100, 1)])
def test_as_many_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, workers: int
) -> None:
    for name, value in {"_cores": cores, "available": memory, "largest_size": 10}.items():
        monkeypatch.setattr(shares, name, lambda value=value: value)
    assert as_many_as_fit([]) == workers


def test_this_process_has_a_size() -> None:
    assert shares.largest_size() > 2**20 and shares._cores() >= 1
