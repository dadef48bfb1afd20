"""Speeds that were measured: the study keeps them, the headline and the tables show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError

if TYPE_CHECKING:
    from optuna.study import Study

SPEEDS = "speeds"
"""The study's user attribute with all that were measured, the latest last."""


@dataclass(frozen=True)
class MeasuredSpeed:
    """How fast one trial's network is against the dense one, in one engine on one machine."""

    trial: int
    engine: str
    """As sentences call it."""
    batch_size: int
    threads: int
    dense_ms: float
    """Median of one pass of the dense network."""
    ms: float
    """Median of one pass of the trial's."""
    speedup: float
    """Median of the pairs' ratios."""
    low: float
    high: float
    """The quartiles of these ratios."""
    machine: str

    @property
    def is_sure(self) -> bool:
        """Whether the quartiles say the same: faster, or slower."""
        return (self.low > 1) == (self.high > 1)

    def __str__(self) -> str:
        """Return it as the headline has it.

        >>> str(MeasuredSpeed(3, "OpenVINO", 1, 2, 4.8, 2.0, 2.4, 2.3, 2.5, "a CPU"))
        '2.4× faster in OpenVINO'
        """
        if not self.is_sure:
            return f"as fast in {self.engine}"
        ratio = self.speedup if self.speedup > 1 else 1 / self.speedup
        return f"{ratio:.2g}× {'faster' if self.speedup > 1 else 'slower'} in {self.engine}"


def speeds_in(study: Study) -> list[MeasuredSpeed]:
    """Return what was measured, the latest last; raises `RankfrontError` where the study is damaged."""
    names = [field.name for field in fields(MeasuredSpeed)]
    try:
        return [MeasuredSpeed(**{name: each[name] for name in names}) for each in study.user_attrs.get(SPEEDS, [])]
    except (KeyError, TypeError) as error:
        raise RankfrontError(f"the study's measured speeds are damaged: {error}") from None


def keep_speeds(study: Study, found: Sequence[MeasuredSpeed]) -> None:
    """Store speeds in place of earlier ones of the same trial, engine, batch size and threads on the same machine."""
    new = [asdict(each) for each in found]
    keys = [_key(each) for each in new]
    study.set_user_attr(SPEEDS, [e for e in study.user_attrs.get(SPEEDS, []) if _key(e) not in keys] + new)


def _key(speed: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(speed.get(name) for name in ("trial", "engine", "batch_size", "threads", "machine"))
