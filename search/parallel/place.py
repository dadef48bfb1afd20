"""Where workers run: this machine (`machine`), a Ray cluster (`ray_cluster`) or SLURM (`slurm_array`)."""

from __future__ import annotations

from typing import Protocol

from .handle import Events, Handle


class Place(Protocol):
    """Starts workers, each a new interpreter that runs the same Python statements."""

    def room(self) -> int:
        """Return how many workers suit it; raises `RankfrontError` where that is not known."""
        ...

    def shown(self, count: int) -> str:
        """Return what each of so many workers gets, for the user."""
        ...

    def start(self, number: int, count: int, job: bytes, events: Events) -> Handle:
        """Start a worker.

        Args:
            number: the worker's, from 1.
            count: how many are at work at once.
            job: bytes for its standard input; see `lifeline.read_job`.
            events: takes what it says.

        Raises:
            RankfrontError: it cannot be started.
        """
        ...
