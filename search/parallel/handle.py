"""A worker as its supervisor sees it, wherever it runs: a process of this machine, an actor of Ray, a job of SLURM."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any, Protocol


class Handle(Protocol):
    """A worker that was started. What it says goes into a queue of events; that of its end comes last."""

    @property
    def number(self) -> int:
        """The worker's number, from 1."""
        ...

    def stop(self) -> None:
        """Ask it to end: it frees its trial first."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


Events = SimpleQueue[tuple[Handle, list[Any]]]
