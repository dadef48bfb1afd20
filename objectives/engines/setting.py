"""How a study measures latency: in which engine, on batches of which size, on how many threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..described import counted
from .registry import engine_named

if TYPE_CHECKING:
    from .engine import Engine

ENGINE, BATCH_SIZE, THREADS, DTYPE, MACHINE = (
    "engine",
    "engine batch size",
    "engine threads",
    "engine dtype",
    "engine machine",
)
"""What a study is known by, besides others."""

NONE = "none"
"""The engine of a study without latencies."""


@dataclass(frozen=True)
class EngineSetting:
    """Where and how latency is measured."""

    name: str
    """The engine's."""
    batch_size: int
    """Samples in a pass."""
    threads: int
    """Of the CPU."""
    elsewhere: str | None = None
    """The machine whose latencies are meant, where it is not this one: then nothing is measured here."""

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> EngineSetting | None:
        """Return that of a study; None where it has no latencies."""
        name = identity.get(ENGINE, NONE)
        return None if name == NONE else cls(name, int(identity[BATCH_SIZE]), int(identity[THREADS]))

    @property
    def engine(self) -> Engine:
        """The engine itself."""
        return engine_named(self.name)

    def plain(self) -> dict[str, Any]:
        """Return what a study is known by."""
        return {ENGINE: self.name, BATCH_SIZE: self.batch_size, THREADS: self.threads}

    def __str__(self) -> str:
        return f"{self.engine.label}, batches of {self.batch_size}, {counted(self.threads, 'thread')}"
