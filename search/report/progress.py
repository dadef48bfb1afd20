"""What the user sees while waiting: bars in a terminal or notebook, now and then a line elsewhere and in a log file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from .bar import Bar
from .cell import CellBars
from .log import Log
from .terminal import Display, TerminalBars

LOG_INTERVAL_S = 30.0
"""Between two lines of how far something is."""

TRIALS = "trials"
"""What the number of trials that have ended is called."""


def showing(progress: bool | Progress) -> contextlib.AbstractContextManager[Progress]:
    """Return a context of progress: a new one, shown or not, or the one given, which its owner starts and stops."""
    return Progress(shown=progress) if isinstance(progress, bool) else contextlib.nullcontext(progress)


class Progress:
    """Lines that stay (``say``) above bars for what is going on (called with what, done, total).

    Args:
        shown: whether to show anything; a log file gets its lines anyway.
        stderr: whether to write to it in place of stdout.
        clock: returns the time in seconds.
    """

    def __init__(
        self, *, shown: bool = True, stderr: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        in_notebook = Console().is_jupyter
        self.console = Console(
            quiet=not shown,
            stderr=stderr,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
            force_jupyter=False,  # lines are plain text there, too: one output, not one for each
        )
        self._clock = clock
        self._bars: dict[str, Bar] = {}
        self._best = ""
        self._display: Display | None = None
        if shown and in_notebook:
            self._display = CellBars(self._view)
        elif shown and self.console.is_terminal:
            self._display = TerminalBars(self.console, self._view)
        self._begun: set[str] = set()
        self._told = clock()
        self._said: set[str] = set()
        self._log_file = Log()

    def __enter__(self) -> Self:
        if self._display is not None:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.stop()

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
        """Show that ``done`` of ``total`` is reached of ``what``; a total of 0: nobody knows how much there is."""
        bar = self._bars.get(what)
        if bar is None or (total and not bar.total):
            bar = self._bars[what] = Bar(what, done, total, self._clock(), at_first=done)
        bar.done, bar.total = done, total
        self._log(bar)
        if self._display is not None:
            self._display.changed()
        if done >= total > 0 and what != TRIALS:
            self.finish(what)

    def finish(self, what: str) -> None:
        """Take away the bar of ``what``, done or not."""
        self._bars.pop(what, None)

    def best(self, line: str) -> None:
        """Show which trial is the best so far."""
        self._best = line

    def _pace(self, now: float) -> str:
        """Return how fast trials end, and the best so far; nothing where no trials are under way."""
        if (trials := self._bars.get(TRIALS)) is None:
            return ""
        rate = trials.per_minute(now)
        pace = "" if rate is None else f"{rate:.2g} a minute" if rate < 10 else f"{rate:.0f} a minute"
        return ", ".join(filter(None, (pace, self._best and f"best so far: {self._best}")))

    def _view(self) -> tuple[list[Bar], str, float]:
        now = self._clock()
        return list(self._bars.values()), self._pace(now), now

    def _log(self, bar: Bar) -> None:
        """Say what begins, and now and then how far it is; where bars are shown, in the log file alone.

        Each trial has a line of its own when it ends; what comes before each, of unknown length, has none.
        """
        counted = bar.total and not bar.what.startswith("[") and bar.what != TRIALS
        begins = counted and bar.what not in self._begun
        if begins:
            self._begun.add(bar.what)
            self._note(f"{bar.what} …")
        elif self._clock() - self._told >= LOG_INTERVAL_S:
            bars, pace, now = self._view()
            self._note("  " + "; ".join(filter(None, (*(bar.line(now) for bar in bars), pace))))

    def _note(self, line: str) -> None:
        self._told = self._clock()
        if self._display is None:
            self.say(line)
        else:
            self._log_file(line)
