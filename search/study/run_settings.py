"""What one run of a study comes to, all of it known: see `Settings.for_task`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError
from ..samplers.registry import sampler_name
from ..space.budget import Budget
from ..storage.folder import Folder
from ..storage.identity import Caller
from ..storage.remote_files import shown_files
from ..storage.source import Source
from .cluster import Cluster
from .engine import engine_identity

if TYPE_CHECKING:
    import torch
    from optuna.samplers import BaseSampler

    from ...objectives.engines.setting import EngineSetting
    from ...objectives.task import Task
    from ..samplers.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What one ``run`` of one task does."""

    budget: Budget
    objectives: tuple[str, ...]
    """`SCORE`, then any of the metrics."""
    trials: int
    timeout_s: float | None
    folder: Folder
    storage: str | None
    sampler: str | Sampler | BaseSampler
    device: torch.device
    shared: bool
    focus: str
    seed: int
    source: Source | None
    workers: int | str
    """How many processes run trials; ``auto`` for as many as suit the machine."""
    cluster: Cluster | None
    """Whose machines run trials; None for this one."""
    files: str | None
    engine: EngineSetting | None
    """Where latency is measured; None where it is not."""

    @property
    def caller(self) -> Caller:
        """Who runs it: see `Caller`."""
        return Caller(self.folder.path, from_command=self.source is not None)

    def identity(self, task: Task) -> dict[str, Any]:
        """Return what must stay the same when a study is resumed, besides model and data; flat."""
        own = task.settings()
        finetune = {f"finetune {name}": value for name, value in own.pop("finetune").items()}
        return {
            "budget": str(self.budget),
            "objectives": ", ".join(self.objectives),
            "sampler": sampler_name(self.sampler),
            "focus": self.focus,
            "shared": self.shared,
            "seed": self.seed,
            **own,
            **finetune,
            **engine_identity(self.engine, task),
            **self._place(),
        }

    def check_place(self, stored: Mapping[str, Any]) -> None:
        """Refuse to share a study's files in another way than it was begun with; raises `RankfrontError`."""
        there = stored.get("files")
        if there is not None and self.files is None:
            raise RankfrontError(f"the study's files are shared under {there}: give --files, too")
        if there is None and self.files is not None:
            raise RankfrontError("the study's files lie in its folder: leave --files out, or begin another study")

    def _place(self) -> dict[str, str]:
        """Return where the weights lie: a database elsewhere can be reached from any folder, but they lie in one."""
        if self.storage is None:
            return {}
        return {"out": str(self.folder.path.resolve())} if self.files is None else {"files": shown_files(self.files)}
