"""The models that ``finish`` left in a study's folder: one folder for each budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError
from ...objectives.export.plan_files import model_folders, model_paths, read_plan
from ...objectives.metrics.registry import METRICS
from ...objectives.metrics.values import Metrics
from ..space.budget import Budget
from ..storage.folder import Folder

if TYPE_CHECKING:
    from .result import Result


@dataclass(frozen=True)
class FinishedModel:
    """A finished model as its ``plan.json`` describes it."""

    folder: Path
    budget: str | None
    """The budget it was chosen for; None where an older version, which did not store it, finished it."""
    trial: int
    epochs: int
    before: float
    """The trial's own validation score."""
    score: float
    test: float | None
    metrics: Metrics
    key: str
    """What the fine-tune depended on."""

    @classmethod
    def read(cls, folder: Path, score: str) -> FinishedModel:
        """Return the finished model in a folder; ``score`` is the score's name. Raises `RankfrontError` if damaged."""
        path = model_paths(folder)[1]
        about = read_plan(path)[1]
        try:
            amounts: dict[str, Any] = about["metrics"]
            return cls(
                folder,
                about.get("budget"),
                int(about["trial"]),
                int(about["epochs"]),
                about["before"][score],
                amounts[score],
                about["test"],
                Metrics({name: amount for name, amount in amounts.items() if name in METRICS}),
                about.get("key", ""),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RankfrontError(f"{path} must be what `rankfront finish` wrote, but lacks {error}") from None

    @property
    def name(self) -> str:
        """The budget, or what is known in its place."""
        return self.budget or f"trial {self.trial}"


def finished_folder(folder: Folder, budget: Budget) -> Path:
    """Return where the finished model of a budget lies: ``finished/params=5%,flops=30%``.

    The order of the bounds does not matter.
    """
    bounds = sorted(budget.bounds, key=lambda bound: bound.text)
    return folder.finished / str(Budget(tuple(bounds), budget.floor)).replace(", ", ",")


def finished_models(folder: Folder, score: str) -> list[FinishedModel]:
    """Return all finished models; a fine-tune that was interrupted has left none."""
    return [FinishedModel.read(path, score) for path in model_folders(folder.finished)]


def finished_within(result: Result, budget: Budget) -> FinishedModel | None:
    """Return the finished model of a budget; None where there is none."""
    place = finished_folder(result.folder, budget)
    for model in result.finished:
        # An older version did not store the budget: the trial tells.
        if model.folder == place or (model.budget is None and model.trial == result.best_trial(budget).trial):
            return model
    return None


def none_finished(folder: Folder, budget: Budget) -> RankfrontError:
    """Return what is raised where the finished model of a budget is asked for, and there is none."""
    return RankfrontError(
        f"{folder.path} must hold a finished model within {budget}, but has none: "
        f"rankfront finish {folder.path} --epochs N --budget {budget} makes one"
    )
