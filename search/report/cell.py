"""Bars in a notebook: one output below the cell that changes in place, and is empty at the end.

It is plain HTML, so that no widget need be installed, and a saved notebook holds none of it.
"""

from __future__ import annotations

import html
import time
from typing import Any

from .terminal import View

INTERVAL_S = 0.2
"""Between two changes of what is shown."""


class CellBars:
    """Shows the bars through IPython's display, whichever notebook it is."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._handle: Any = None
        self._last = -INTERVAL_S

    def start(self) -> None:
        """Make the output."""
        from IPython.display import display

        self._handle = display(_bundle("", ""), raw=True, display_id=True)

    def changed(self) -> None:
        """Change the output, but not too often."""
        now = time.monotonic()
        if now - self._last >= INTERVAL_S:
            self._last = now
            self._show(*self._drawn())

    def stop(self) -> None:
        """Leave the output empty."""
        self._show("", "")

    def _show(self, as_html: str, as_text: str) -> None:
        if self._handle is not None:
            self._handle.update(_bundle(as_html, as_text), raw=True)

    def _drawn(self) -> tuple[str, str]:
        bars, pace, now = self._view()
        rows = "".join(
            f"<div><progress {f'value={bar.done} max={bar.total}' if bar.total else ''}></progress> "
            f"{html.escape(bar.line(now))}</div>"
            for bar in bars
        )
        lines = [*(bar.line(now) for bar in bars), pace]
        return f"{rows}<div>{html.escape(pace)}</div>", "\n".join(lines)


def _bundle(as_html: str, as_text: str) -> dict[str, str]:
    return {"text/html": as_html, "text/plain": as_text}
