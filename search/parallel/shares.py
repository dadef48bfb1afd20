"""What each of several workers gets of one machine: threads of the CPU, a GPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import torch

from ...objectives.memory import available

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables of the environment that libraries take their number of threads from."""

VISIBLE = "CUDA_VISIBLE_DEVICES"


def share(index: int, count: int, threads: int, gpus: Sequence[str]) -> dict[str, str]:
    """Return the environment of the worker of that index, from 0, among so many.

    >>> share(1, 2, 8, ["0", "1"])["CUDA_VISIBLE_DEVICES"], share(0, 3, 8, [])["OMP_NUM_THREADS"]
    ('1', '2')
    """
    own = environment_of(threads_each(count, threads))
    return own | ({VISIBLE: gpus[index % len(gpus)]} if gpus else {})


def environment_of(threads: int) -> dict[str, str]:
    """Return the environment of a worker with so many threads."""
    return dict.fromkeys(THREADS, str(threads))


def threads_each(count: int, threads: int) -> int:
    """Return how many of the CPU's threads each of so many workers gets."""
    return max(1, threads // count)


def gpus_of(device: torch.device) -> list[str]:
    """Return the GPUs that this process may use, as `VISIBLE` names them; none for the CPU."""
    if device.type != "cuda":
        return []
    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE, "")
    return [name.strip() for name in named.split(",")][:count] if named else [str(n) for n in range(count)]


def as_many_as_fit(gpus: Sequence[str]) -> int:
    """Return how many workers suit this machine: one a GPU; else one a core, as far as memory reaches.

    A worker is taken to need as much memory as the present process, which has prepared the same study, at its most.
    """
    if gpus:
        return len(gpus)
    return max(1, min(_cores(), available() // largest_size()))


def largest_size() -> int:
    """Return the most bytes of memory that this process has had."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
