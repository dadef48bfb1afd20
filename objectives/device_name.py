"""The names of devices, checked without importing torch."""

from __future__ import annotations

from .errors import RankfrontError

DEVICES = ("auto", "cpu", "cuda")


def check_device_name(name: str) -> None:
    """Raise `RankfrontError` for a name that no device has."""
    if name not in DEVICES:
        raise RankfrontError(f"device must be auto, cpu or cuda, but got {name!r:.60}")
