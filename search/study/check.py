"""What ``verify`` finds: one figure of one model, as stored and as found again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One figure of one model: the stored value, the one found now, and whether they agree."""

    trial: int
    what: str
    stored: str
    found: str
    holds: bool

    def __str__(self) -> str:
        outcome = f"{self.found}, but the study says {self.stored}" if self.stored else self.found
        return f"trial {self.trial}: {self.what}: {outcome}"
