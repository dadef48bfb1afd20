"""The names of devices, checked without importing torch."""

from __future__ import annotations

from .errors import RankfrontError

DEVICES = ("auto", "cpu", "cuda")


def check_device_name(name: str) -> None:
    """Raise `RankfrontError` for a name that no device has."""
    if name not in DEVICES:
        raise RankfrontError(f"device must be {', '.join(DEVICES[:-1])} or {DEVICES[-1]}, but got {name!r:.60}")
