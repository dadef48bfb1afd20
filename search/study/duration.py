"""Durations as users write them."""

from __future__ import annotations

import re

from ...objectives.described import shown
from ...objectives.errors import RankfrontError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(timeout: str | float | None) -> float | None:
    """Return a duration in seconds: ``600``, ``"600"``, ``"90s"``, ``"10m"``, ``"1.5h"``.

    >>> seconds("10m")
    600.0
    """
    if timeout is None:
        return None
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)\s*", str(timeout))
    if match is None or float(match[1]) == 0:
        raise RankfrontError(f"timeout must be a duration such as 90s, 10m or 2h, but got {shown(timeout)}")
    return float(match[1]) * _SECONDS[match[2] or "s"]
