"""What the user sees while waiting: a bar in a terminal, now and then a line elsewhere; lines go to a log file, too."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from .log import Log

LOG_INTERVAL_S = 10.0
TRIALS, SCORING_BEFORE = "trials", "[low fidelity] scoring a network before fine-tuning"


def showing(progress: bool | Progress) -> contextlib.AbstractContextManager[Progress]:
    """Return a context of progress: a new one, shown or not, or the one given, which its owner starts and stops."""
    return Progress(shown=progress) if isinstance(progress, bool) else contextlib.nullcontext(progress)


class Progress:
    """Lines that stay (``say``) above bars for what is going on (called with what, done, total)."""

    def __init__(self, *, shown: bool = True, stderr: bool = False) -> None:
        self.console = Console(
            quiet=not shown, stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._logged = ("", 0.0)
        self._said: set[str] = set()
        self._log_file = Log()

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._bar.stop()

    def say(self, line: str = "") -> None:
        """Print a line that stays."""
        self.console.print(line)
        self._log_file(line)
        if self._log_file.trouble and "log" not in self._said:
            self._said.add("log")
            self.console.print(f"lines are missing from the log: {self._log_file.trouble}")

    def log_to(self, path: Path) -> None:
        """Append every line that stays to this file, too, shown or not; those said before as well."""
        self._log_file.open(path)

    def say_once(self, topic: str, line: str) -> None:
        """Print a line that stays, the first time that something is said on this topic."""
        if line and topic not in self._said:
            self._said.add(topic)
            self.say(line)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` is reached of ``what``."""
        if not self.console.is_terminal:
            self._log(what, done, total)
            return
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, total=total)
        if done >= total:
            self.finish(what)

    def finish(self, what: str) -> None:
        """Take away the bar of ``what``, done or not."""
        if what in self._tasks:
            self._bar.remove_task(self._tasks.pop(what))

    def _log(self, what: str, done: int, total: int) -> None:
        """In a log, say what begins, then how far it is every ten seconds."""
        if what.startswith("[") or what == TRIALS:
            return  # every trial has a line of its own when it ends
        now = time.monotonic()
        if what != self._logged[0]:
            self.say(f"{what} …")
        elif now - self._logged[1] >= LOG_INTERVAL_S:
            self.say(f"{what}: {done} of {total}")
        else:
            return
        self._logged = (what, now)
