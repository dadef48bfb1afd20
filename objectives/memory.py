"""How much memory is free, and how amounts of it are shown."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may use."""


def available() -> int:
    """Return the bytes of main memory that a program can still take: what is free, and what its container allows."""
    found = [_free(), _allowed()]
    return min([size for size in found if size is not None], default=2**62)


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


def _allowed() -> int | None:
    try:
        limit, used = ((CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        kinds = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        # Cached files are given back when memory is asked for.
        return max(0, int(limit) - int(used) + int(kinds.get("inactive_file", 0)))
    except (OSError, ValueError):  # no such limit
        return None
