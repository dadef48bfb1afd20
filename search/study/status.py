"""How far a study is: who is at work on it, what became of its trials, how fast they come, how long it takes yet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ..storage.existing import TRIALS
from ..storage.folder import Folder
from ..storage.locks import Locks
from ..storage.slots import was_interrupted
from .workers import WORKER, Worker

LATEST = 20
"""So many of the latest trials tell how long one takes."""


@dataclass(frozen=True)
class Status:
    """A study's state at one moment."""

    study: str
    folder: Folder
    workers: int
    """Processes at work on it."""
    total: int
    """How many trials it is to have."""
    complete: int
    stopped: int
    """Over the budget, or stopped early."""
    failed: int
    running: int
    lost: int
    """Whose worker has died: they will be run again."""
    seconds: float | None
    """What a trial takes, the mean of the latest; None before the first one has ended."""

    @classmethod
    def of(cls, study: Study, folder: Folder, locks: Locks) -> Status:
        """Look at a study; nothing of it is changed.

        Raises:
            RankfrontError: its locks cannot be looked at.
        """

        def living() -> tuple[list[FrozenTrial], set[str], int]:
            trials = [trial for trial in study.get_trials(deepcopy=False) if not was_interrupted(trial)]
            running = {t.user_attrs[WORKER] for t in trials if not t.state.is_finished() and WORKER in t.user_attrs}
            return trials, locks.alive(running), locks.remove_dead()

        trials, alive, workers = Worker(folder, locks).exclusively(living)
        ended = [trial for trial in trials if trial.state.is_finished()]
        running = sum(trial.user_attrs.get(WORKER) in alive for trial in trials if not trial.state.is_finished())
        states = Counter(trial.state for trial in ended)
        return cls(
            study.study_name,
            folder,
            workers,
            max(int(study.user_attrs.get(TRIALS, 0)), len(ended)),
            states[TrialState.COMPLETE],
            states[TrialState.PRUNED],
            states[TrialState.FAIL],
            running,
            len(trials) - len(ended) - running,
            _seconds(ended),
        )

    @property
    def done(self) -> int:
        """How many trials have ended."""
        return self.complete + self.stopped + self.failed

    @property
    def rate(self) -> float | None:
        """Trials a minute, at this number of workers; None where nobody is at work, or no trial has ended."""
        return 60 * self.workers / self.seconds if self.workers and self.seconds else None

    @property
    def seconds_left(self) -> float | None:
        """How long it takes yet at this rate; 0 when all trials have ended."""
        if self.done >= self.total:
            return 0.0
        return None if self.rate is None else 60 * (self.total - self.done) / self.rate

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "study": self.study,
            "folder": str(self.folder.path),
            "workers": self.workers,
            "trials": {
                name: getattr(self, name) for name in ("total", "complete", "stopped", "failed", "running", "lost")
            },
            "trials_per_minute": self.rate,
            "seconds_left": self.seconds_left,
        }

    def lines(self) -> list[str]:
        """Return it as lines to read."""
        ended = {"complete": self.complete, "over budget or stopped early": self.stopped, "failed": self.failed}
        now = {"running": self.running, "lost with their workers, to be run again": self.lost}
        parts = [f"{count} {what}" for what, count in {**ended, **now}.items() if count]
        rate, left = self.rate, self.seconds_left
        return [
            f"study      {self.study}, files in {self.folder.path}",
            f"workers    {self.workers} at work",
            f"trials     {self.done} of {self.total} done" + (f": {', '.join(parts)}" if parts else ""),
            "rate       " + ("unknown" if rate is None else f"{rate:.3g} trials a minute"),
            "time left  " + ("unknown" if left is None else _duration(left)),
        ]


def _seconds(ended: list[FrozenTrial]) -> float | None:
    """Return the mean duration of the latest trials."""
    times = [(t.datetime_complete, t.duration) for t in ended if t.datetime_complete and t.duration]
    latest = sorted(times)[-LATEST:]
    return fmean(duration.total_seconds() for _, duration in latest) if latest else None


def _duration(seconds: float) -> str:
    """Return a duration to read.

    >>> _duration(0), _duration(59), _duration(150), _duration(7200)
    ('none', '59 s', '2.5 minutes', '2.0 hours')
    """
    if seconds < 1:
        return "none" if seconds == 0 else "less than a second"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"
