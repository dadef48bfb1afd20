"""Where the time of trials went."""

from __future__ import annotations

from collections.abc import Iterable

from ..storage.trials import Record


def seconds_of(records: Iterable[Record]) -> dict[str, float]:
    """Return phase → seconds of these trials, the longest first."""
    total: dict[str, float] = {}
    for record in records:
        for phase, seconds in record.phases.items():
            total[phase] = total.get(phase, 0.0) + seconds
    return dict(sorted(total.items(), key=lambda item: -item[1]))
