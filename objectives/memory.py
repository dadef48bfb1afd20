"""How much memory is free and how amounts are shown; that it is given back, and whether it did not suffice."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container, or a job of a cluster, may use."""

OWN_GROUPS = Path("/proc/self/cgroup")
"""Where it says to which groups this process belongs."""

SAID = ("DefaultCPUAllocator", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Words of a RuntimeError of torch's about memory."""


class _Names(NamedTuple):
    """Names of the files of a group, and of what in ``memory.stat`` is given back when memory is asked for."""

    limit: str
    used: str
    cached: str


V1 = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = _Names("memory.max", "memory.current", "inactive_file")


def available() -> int:
    """Return the bytes of main memory that a program can still take: what is free, and what its container allows."""
    found = [_free(), *(_allowed(folder, names) for folder, names in _groups())]
    return min([size for size in found if size is not None], default=2**62)


def exhausted(error: BaseException) -> bool:
    """Return whether an exception says that memory did not suffice: of a GPU, or of the CPU."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)


def give_back() -> None:
    """Give freed memory back to the system where that can be asked for: glibc keeps what it may need again."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library, another system
        ctypes.CDLL(None).malloc_trim(0)


def shown(size: float) -> str:
    """Return bytes in a unit to read.

    >>> shown(3 * 2**29), shown(2**20)
    ('1.5 GiB', '1 MiB')
    """
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"


def _free() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:  # other systems say only how much there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _groups() -> Iterator[tuple[Path, _Names]]:
    """Yield the folders that may hold a limit: of this process's groups, and of those around them."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:  # another system
        lines = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, names = (CGROUP / "memory", V1) if controllers else (CGROUP, V2)
        # Inside a container the group may be named as outside of it; then only the root is there.
        own = root / group.lstrip("/")
        yield own, names
        yield from ((folder, names) for folder in own.parents if folder.is_relative_to(root))


def _allowed(folder: Path, names: _Names) -> int | None:
    try:
        limit, used = ((folder / name).read_text().strip() for name in (names.limit, names.used))
        kinds = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, int(limit) - int(used) + int(kinds.get(names.cached, 0)))
    except (OSError, ValueError):  # no such limit
        return None
