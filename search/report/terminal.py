"""Bars in a terminal: below all lines, taken away at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .bar import Bar

WIDTH = 28
"""Characters of a bar."""

View = Callable[[], tuple[Collection[Bar], str, float]]
"""Returns what is under way, how fast trials end with the best so far, and the time now."""


class Display(Protocol):
    """Where bars are shown."""

    def start(self) -> None:
        """Begin to show."""
        ...

    def changed(self) -> None:
        """Show what has changed, now or soon."""
        ...

    def stop(self) -> None:
        """Take all away."""
        ...


class TerminalBars:
    """Draws the bars a few times a second, until it is stopped; so the time that is left goes on falling."""

    def __init__(self, console: Console, view: View) -> None:
        self._view = view
        self._live = Live(console=console, transient=True, refresh_per_second=5, get_renderable=self._drawn)

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def changed(self) -> None:
        """Do nothing: it is drawn soon."""

    def stop(self) -> None:
        """Take the bars away."""
        self._live.stop()

    def _drawn(self) -> Group:
        bars, pace, now = self._view()
        table = Table.grid(padding=(0, 1))
        for bar in bars:
            drawn = ProgressBar(bar.total or None, bar.done, width=WIDTH, pulse=not bar.total)
            table.add_row(Text(bar.what, no_wrap=True, overflow="ellipsis"), drawn, bar.counted(), bar.shown_left(now))
        return Group(table, *([Text(pace, no_wrap=True, overflow="ellipsis")] if pace else []))
