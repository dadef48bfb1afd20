"""What a worker is doing now: proposing, scoring networks before fine-tuning, or a phase of a trial."""

from __future__ import annotations

from ...objectives.phases import PROPOSING, REST, SCREENING
from .progress import Progress

SCREENED = f"{SCREENING}: networks scored before fine-tuning"


class UnderWay:
    """Shows one bar: that of the phase that is under way. It takes phases from `Phases`, and steps from fine-tuning."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._trial = self._shown = ""
        self._screened = 0

    def trial(self, label: str) -> None:
        """Take a trial as what is under way: ``[3/40] trial 2``; nothing: none is."""
        self._trial = label
        self._show("")

    def phase(self, name: str) -> None:
        """Take a phase as what is under way."""
        if name == SCREENING:
            self._screened += 1
            self._show(SCREENED, self._screened)
        elif name == PROPOSING:
            self._show("proposing a plan")
        else:
            self._show(f"{self._trial}: {name}" if self._trial and name != REST else "")

    def steps(self, done: int, total: int) -> None:
        """Take how many steps of the phase are done."""
        if self._shown:
            self._progress(self._shown, done, total)

    def _show(self, what: str, done: int = 0) -> None:
        if self._shown and self._shown != what:
            self._progress.finish(self._shown)
        self._shown = what
        if what:
            self._progress(what, done, 0)
