"""Workers on this machine: an implementation of `place.Place`."""

from __future__ import annotations

import torch

from .child import Child
from .handle import Events
from .shares import as_many_as_fit, gpus_of, share, threads_each


class Machine:
    """Gives each worker a GPU where there are some, else its part of the CPU's threads.

    Args:
        code: the Python statements that each worker runs.
        device: where they compute.
    """

    def __init__(self, code: str, device: torch.device) -> None:
        self._code = code
        self._gpus, self._threads = gpus_of(device), torch.get_num_threads()

    def room(self) -> int:
        """Return how many workers suit this machine."""
        return as_many_as_fit(self._gpus)

    def shown(self, count: int) -> str:
        """Return what each of so many workers gets."""
        return "a GPU" if self._gpus else f"{threads_each(count, self._threads)} of the CPU's threads"

    def start(self, number: int, count: int, job: bytes, events: Events) -> Child:
        """Start a worker as a process."""
        return Child(number, self._code, job, share(number - 1, count, self._threads, self._gpus), events)
