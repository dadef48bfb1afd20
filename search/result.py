"""What a study has found, read from its folder and database: no model and no data needed."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from optuna.study import Study
from torch import nn

from ..objectives.errors import RankfrontError
from ..objectives.files import read_json, write_whole
from ..objectives.metrics import Metrics
from ..objectives.model_files import load_model, model_paths, save_plan
from . import plots
from .budget import Budget
from .folder import Folder
from .front import best_within, front_of
from .intervals import wilson
from .settings import SCORE_OBJECTIVE
from .storage import IDENTITY, database_of, load_existing, storage_errors
from .trials import COSTS, dense_of, score_name, trial_table

TEST = "test"
"""The study's user attribute with test scores by trial number."""


class Result:
    """A study's result: ``front``, ``trials``, ``figures``, ``best``; files are written by ``export``."""

    def __init__(self, study: Study, folder: Folder, architecture: nn.Module | None = None) -> None:
        self.study = study
        self.architecture = architecture
        self.folder = folder
        self.score = score_name(study)
        self.dense = Metrics(**dense_of(study)["metrics"])
        self.dense_score: float = dense_of(study)["score"]
        self.samples: dict[str, int] = dense_of(study)["samples"]

    @classmethod
    def open(cls, path: str | Path, storage: str | None = None) -> Result:
        """Open a study's folder.

        Args:
            path: the folder that ``run`` wrote.
            storage: the database's URL, where ``run`` was given one.

        Raises:
            RankfrontError: there is no study, or it has not got beyond its first trial.
        """
        folder = Folder(Path(path))
        url = database_of(folder.path, storage)
        if storage is None and not (folder.path / "study.db").exists():
            raise RankfrontError(
                f"{folder.path} must hold a study.db, but has none: rankfront run STUDY --out {folder.path} makes it"
            )
        name = read_json(folder.manifest).get("study") if folder.manifest.exists() else None
        with storage_errors(url):
            study = load_existing(url, name)
            if "dense" not in study.user_attrs:
                raise RankfrontError(f"{folder.path} must hold trials, but its study has only just begun")
            return cls(study, folder)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings and fingerprints the study was begun with."""
        return self.study.user_attrs[IDENTITY]

    @property
    def budget(self) -> Budget:
        """The study's budget."""
        text = self.identity["budget"]
        return Budget() if text == "none" else Budget.parse(text)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """All trials: see `trials.trial_table`."""
        return trial_table(self.study)

    @cached_property
    def kept(self) -> pd.DataFrame:
        """The trials that no other beats in score and all costs: those whose weights are kept."""
        return front_of(self.trials, self.score)

    @cached_property
    def front(self) -> pd.DataFrame:
        """The front of the study's objectives, smallest first.

        Columns: ``trial``; the score, ``params``, ``flops``, ``bytes``; each as a percentage of the dense
        model (``params_pct`` …); for an accuracy its 95 % interval (``accuracy_low``, ``accuracy_high``);
        where there is a test split, the same on it (``test_accuracy`` …).
        """
        # Under a single objective the front is that of the score and whatever the budget bounds.
        costs = [name for name in self.objectives if name != SCORE_OBJECTIVE]
        costs = costs or [bound.metric for bound in self.budget.bounds]
        front = front_of(self.trials, self.score, costs)[["trial", self.score, *COSTS]]
        front = front.astype({"trial": int, **dict.fromkeys(COSTS, int)})
        front[f"{self.score}_pct"] = 100 * front[self.score] / self.dense_score if self.dense_score else float("nan")
        for name in COSTS:
            front[f"{name}_pct"] = 100 * front[name] / getattr(self.dense, name)
        self._add_interval(front, self.score, self.samples["validation"])
        tested = self.study.user_attrs.get(TEST, {})
        if tested:
            front[f"test_{self.score}"] = [tested.get(str(n), float("nan")) for n in front["trial"]]
            self._add_interval(front, f"test_{self.score}", self.samples["test"])
        return front

    @property
    def objectives(self) -> list[str]:
        """What the study optimises: the score, and costs."""
        return str(self.identity["objectives"]).split(", ")

    @property
    def dense_test_score(self) -> float | None:
        """The dense model's score on the test split, once it was taken."""
        return self.study.user_attrs.get(TEST, {}).get("dense")

    def best_trial(self, budget: str | Budget | None = None) -> pd.Series:
        """Return the best-scoring trial within a budget (the study's own if none is given).

        Raises:
            RankfrontError: no trial keeps it.
        """
        budget = self.budget if budget is None else Budget.parse(budget) if isinstance(budget, str) else budget
        return best_within(self.kept, self.score, budget, self.dense)

    @property
    def best(self) -> nn.Module:
        """The best model within the study's budget, in eval mode on the CPU.

        Raises:
            RankfrontError: no trial keeps the budget, or the result was opened without a model (see
                `rankfront.load` then).
        """
        return self.model()

    def model(self, budget: str | Budget | None = None) -> nn.Module:
        """Return the best model within a budget asked for afterwards; as `best` otherwise."""
        if self.architecture is None:
            raise RankfrontError("best needs the model's architecture: use rankfront.load(folder, model)")
        trial = self.best_trial(budget)
        return load_model(self.architecture, trial["plan"], self.folder.weights(int(trial["trial"])))

    @property
    def figures(self) -> dict[str, go.Figure]:
        """The plots of the report: ``params``, ``flops``, ``ranks``, ``hypervolume``."""
        limits = self.budget.limits(self.dense)
        table, score, dense = self.trials, self.score, self.dense
        n = self.samples["validation"]
        figures = {
            cost: plots.draw_score(
                plots.score_data(table, score, cost, dense, self.dense_score, limits.get(cost), n)
            )
            for cost in ("params", "flops")
        }
        front = table[table["trial"].isin(self.front["trial"])].sort_values("params")
        ranks = plots.rank_data(front, dense_of(self.study)["full_ranks"], "params", dense)
        figures["ranks"] = plots.draw_ranks(ranks)
        volumes = plots.volume_data(table, score, ["params", "flops"], dense)
        figures["hypervolume"] = plots.draw_volumes(volumes, score)
        return figures

    def export(self, to: str | Path, budget: str | Budget | None = None) -> tuple[Path, Path]:
        """Write the best model's weights and plan.

        Args:
            to: ``FILE.safetensors`` (its plan goes to ``FILE.plan.json``), or a folder for
                ``model.safetensors`` and ``plan.json``.
            budget: as for `best_trial`.

        Returns:
            The two paths.
        """
        best = self.best_trial(budget)
        number = int(best["trial"])
        source = self.folder.weights(number)
        if not source.exists():
            raise RankfrontError(f"the weights of trial {number} must lie at {source}, but are not there")
        weights, plan = model_paths(Path(to))
        about = {
            "study": self.study.study_name,
            "trial": number,
            "metrics": {self.score: best[self.score], **{name: int(best[name]) for name in COSTS}},
            "dense": {self.score: self.dense_score, **self.dense._asdict()},
        }
        write_whole(weights, lambda temporary: shutil.copyfile(source, temporary))
        save_plan(plan, best["plan"], about)
        return weights, plan

    def _add_interval(self, front: pd.DataFrame, column: str, samples: int) -> None:
        if self.score != "accuracy":
            return
        intervals = [wilson(value, samples) if value == value else (value, value) for value in front[column]]
        front[f"{column}_low"] = [low for low, _ in intervals]
        front[f"{column}_high"] = [high for _, high in intervals]
