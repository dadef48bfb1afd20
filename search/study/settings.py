"""How a study is run, as the user asked for it, checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...objectives.device import choose_device
from ...objectives.errors import RankfrontError
from ...objectives.metrics.registry import METRICS
from ...objectives.task import Task
from ..samplers.registry import DEFAULT, check_sampler
from ..space.budget import Budget
from ..storage.database import check_url
from ..storage.folder import Folder, folder_name

SCORE_OBJECTIVE = "accuracy"
DEFAULT_OBJECTIVES = (SCORE_OBJECTIVE, "params", "flops")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Settings:
    """What one ``run`` is told. What is None is the task's own, or has a default once the task is known."""

    budget: Budget | None
    objectives: tuple[str, ...]
    """``accuracy`` (the score, up) and any of params, flops, bytes (down)."""
    trials: int | None
    timeout_s: float | None
    out: Path | None
    storage: str | None
    sampler: str
    device: torch.device
    seed: int

    @classmethod
    def checked(
        cls,
        *,
        budget: str | Sequence[str] | None = None,
        objectives: str | Iterable[str] = DEFAULT_OBJECTIVES,
        trials: int | None = None,
        timeout: str | float | None = None,
        out: str | Path | None = None,
        storage: str | None = None,
        sampler: str = DEFAULT,
        device: str = "auto",
        seed: int = 0,
    ) -> Settings:
        """Read what the user gave, before anything else is done.

        Raises:
            RankfrontError: naming what, the rule and the value.
        """
        if trials is not None and trials < 1:
            raise RankfrontError(f"trials must be 1 or more, but got {trials}")
        if not 0 <= seed < 2**32:
            raise RankfrontError(f"seed must be from 0 to 2^32 - 1, but got {seed}")
        check_sampler(sampler)
        if storage is not None:
            check_url(storage)
        if out is not None:
            Folder(Path(out)).check()
        return cls(
            None if budget is None else Budget.parse(budget),
            _objectives(objectives),
            trials,
            seconds(timeout),
            None if out is None else Path(out),
            storage,
            sampler,
            choose_device(device),
            seed,
        )

    def for_task(self, task: Task) -> RunSettings:
        """Fill in what the task decides."""
        return RunSettings(
            self,
            Budget.parse(task.budget) if self.budget is None else self.budget,
            task.trials if self.trials is None else self.trials,
            Folder(Path("runs") / folder_name(task.name) if self.out is None else self.out),
        )


@dataclass(frozen=True)
class RunSettings:
    """What one ``run`` of one task does."""

    told: Settings
    budget: Budget
    trials: int
    folder: Folder

    def identity(self, task: Task) -> dict[str, Any]:
        """Return what must stay the same when a study is resumed, besides model and data; flat."""
        own = task.settings()
        finetune = {f"finetune {name}": value for name, value in own.pop("finetune").items()}
        return {
            "budget": str(self.budget),
            "objectives": ", ".join(self.told.objectives),
            "sampler": self.told.sampler,
            "seed": self.told.seed,
            **own,
            **finetune,
            # A database elsewhere can be reached from any folder, but the weights lie in one.
            **({} if self.told.storage is None else {"out": str(self.folder.path.resolve())}),
        }


def seconds(timeout: str | float | None) -> float | None:
    """Return a duration in seconds: ``600``, ``"600"``, ``"90s"``, ``"10m"``, ``"1.5h"``.

    >>> seconds("10m")
    600.0
    """
    if timeout is None:
        return None
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)\s*", str(timeout))
    if match is None or float(match[1]) == 0:
        raise RankfrontError(f"timeout must be a duration such as 90s, 10m or 2h, but got {str(timeout)!r:.60}")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def _objectives(names: str | Iterable[str]) -> tuple[str, ...]:
    names = tuple(names.split(",") if isinstance(names, str) else names)
    known = (SCORE_OBJECTIVE, *METRICS)
    wrong = next((name for name in names if name not in known), None)
    if wrong is not None or SCORE_OBJECTIVE not in names or len(set(names)) < len(names):
        got = f"{wrong!r}" if wrong is not None else ", ".join(names) or "none"
        raise RankfrontError(
            f"objectives must be accuracy and any of {', '.join(METRICS)}, each once, but got {got:.60}"
        )
    return tuple(name for name in known if name in names)
