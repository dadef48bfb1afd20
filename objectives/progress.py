"""The signatures of callbacks that are called as work goes on."""

from __future__ import annotations

from typing import Protocol


class CountCallback(Protocol):
    """Called now and then with how many steps of how many are done."""

    def __call__(self, done: int, total: int, /) -> object:
        """Take the numbers."""
        ...


class WorkCallback(Protocol):
    """Called now and then with what is being done and how many steps of how many are done."""

    def __call__(self, what: str, done: int, total: int, /) -> object:
        """Take the name and the numbers."""
        ...
