"""A user who stops a study."""

from __future__ import annotations

from rankfront.search.report.progress import Progress


class CtrlC(Progress):
    """Presses Ctrl-C when the first trial has ended."""

    def __init__(self) -> None:
        super().__init__(shown=False)

    def say(self, line: str = "") -> None:
        if line.startswith("["):
            raise KeyboardInterrupt
