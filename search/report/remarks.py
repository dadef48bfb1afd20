"""Remarks on trials, grouped: those that differ in numbers alone are one remark with several trials."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..storage.trials import Record

SHOWN = 20
"""Remarks that the page shows at most."""

LONGEST = 300
"""Characters of a remark that are shown."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Remark:
    """What is said of some trials."""

    state: str
    text: str
    """As it is said of the first of them."""
    trials: Sequence[int]

    @property
    def which(self) -> str:
        """The trials' numbers: ``3, 5–8``."""
        return numbers(self.trials)


def remarks_of(records: Iterable[Record]) -> list[Remark]:
    """Return all remarks, what is said of most trials first."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.reason:
            groups.setdefault((record.state, _NUMBER.sub("#", _line(record))), []).append(record)
    remarks = [Remark(state, _line(some[0]), [r.trial for r in some]) for (state, _), some in groups.items()]
    return sorted(remarks, key=lambda remark: -len(remark.trials))


def _line(record: Record) -> str:
    return record.reason.splitlines()[0][:LONGEST]


def numbers(trials: Sequence[int]) -> str:
    """Return ascending numbers, runs of three and more as a range.

    >>> numbers([3, 5, 6, 7, 8, 10, 11])
    '3, 5–8, 10, 11'
    """
    runs: list[list[int]] = []
    for trial in trials:
        if runs and runs[-1][-1] == trial - 1:
            runs[-1].append(trial)
        else:
            runs.append([trial])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
