"""What a container or a job allows is read from both versions of Linux's control groups; freed memory is given back."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

import pytest
import torch

from rankfront.objectives import memory

GIB = 2**30


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def v1(folder: Path, limit: int, used: int, cached: int = 0) -> None:
    stat = f"cache 5\ntotal_inactive_file {cached}"
    write(folder, memory__limit_in_bytes=limit, memory__usage_in_bytes=used, memory__stat=stat)


def v2(folder: Path, limit: int | str, used: int, cached: int = 0) -> None:
    write(folder, memory__max=limit, memory__current=used, memory__stat=f"anon 7\ninactive_file {cached}")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "_free", lambda: 100 * GIB)
    return tmp_path


def test_a_container_of_version_2(groups: Path) -> None:
    (groups / "own").write_text("0::/\n")
    v2(groups, 4 * GIB, 3 * GIB, GIB // 2)
    assert memory.available() == 1.5 * GIB


def test_a_container_of_version_1_whose_group_has_the_hosts_name(groups: Path) -> None:
    (groups / "own").write_text("7:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/x\n")
    v1(groups / "memory", 4 * GIB, 3 * GIB, GIB // 2)
    assert memory.available() == 1.5 * GIB


@pytest.mark.parametrize("version", [1, 2])
def test_a_job_of_a_cluster_is_bound_by_its_own_group_and_those_around_it(groups: Path, version: int) -> None:
    root, limit = (groups / "memory", v1) if version == 1 else (groups, v2)
    (groups / "own").write_text("4:memory:/slurm/job:7/step\n" if version == 1 else "0::/slurm/job:7/step\n")
    limit(root, 2**63 - 4096, 50 * GIB)
    limit(root / "slurm" / "job:7", 8 * GIB, 2 * GIB)
    limit(root / "slurm" / "job:7" / "step", 16 * GIB, 2 * GIB)
    limit(root / "other", GIB, GIB)
    assert memory.available() == 6 * GIB


@pytest.mark.parametrize("own", ["", "0::/\n", "4:memory:/\n", None])
def test_without_a_limit_what_is_free_counts(groups: Path, own: str | None) -> None:
    if own is not None:
        (groups / "own").write_text(own)
    v2(groups, "max", GIB)
    write(groups / "memory", memory__limit_in_bytes="none")
    assert memory.available() == 100 * GIB


def test_more_used_than_allowed_leaves_nothing(groups: Path) -> None:
    (groups / "own").write_text("0::/\n")
    v2(groups, GIB, 2 * GIB)
    assert memory.available() == 0


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_says_that_memory_did_not_suffice(error: Exception, is_one: bool) -> None:
    assert memory.exhausted(error) is is_one


def test_freed_memory_is_given_back() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library decides by itself")
    every = [b"x" * 100_000 for _ in range(2_000)]
    kept = every[::100]  # so that what lies below them is not given back at once
    del every
    before = resident()
    memory.give_back()
    assert len(kept) == 20 and before - resident() > 100 * 2**20


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_elsewhere_it_is_left_to_the_system(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: object) -> object:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", missing)
    memory.give_back()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
