"""What a study has found, read from its folder and database: no model and no data needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.study import Study

from ...objectives.boundary import outermost
from ..space.budget import Budget
from ..space.layer_table import LayerOptions, read_layers
from ..storage.database import database_of
from ..storage.dense import DenseModel
from ..storage.errors import storage_errors
from ..storage.folder import Folder
from ..storage.identity import check_same, identity_in
from ..storage.trials import TEST, TEST_INTERVALS, Interval, Record, Scored, as_interval, read_trials, scored
from .best import best_of
from .finished import FinishedModel, finished_models, finished_within
from .front import front_of, retained_of
from .model_files import checked_weights, export_model, loaded
from .notebook import as_html
from .opening import stored_study
from .seconds import seconds_of
from .shown import as_text, headline
from .slice import Slice, model_within, slice_within
from .tables import front_table, trial_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from torch import nn

    from ...objectives.objective import Objective


class Result:
    """A study's result: ``front``, ``trials``, ``figures``, ``best``; files are written by ``export``."""

    def __init__(self, study: Study, folder: Folder, architecture: nn.Module | None = None) -> None:
        self.study = study
        self.architecture = architecture
        self.slices: Callable[[Budget], Slice] | None = None
        """Networks of weights that all plans share, where ``run`` trained or read some."""
        self.folder = folder
        self.dense = DenseModel.of(study)
        self.scale = self.dense.scale
        """How the score reads: its name, direction, interval."""

    __repr__, __str__, _repr_html_ = headline, as_text, as_html  # pyright: ignore[reportAssignmentType]

    @classmethod
    @outermost
    def open(cls, path: str | Path, storage: str | None = None, model: nn.Module | None = None) -> Result:
        """Open a study's folder.

        Args:
            path: the folder that ``run`` wrote.
            storage: the database's URL, where ``run`` was given one.
            model: a network of the dense architecture, for `best` and `model`; its weights do not matter.

        Raises:
            RankfrontError: there is no study, or it has not got beyond its first trial.
        """
        if model is not None:
            from ...objectives.model.is_module import check_model

            check_model(model)
        study, folder = stored_study(path, storage)
        with storage_errors(database_of(folder.path, storage)):
            return cls(study, folder, model)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings and fingerprints the study was begun with."""
        return identity_in(self.study)

    @property
    def budget(self) -> Budget:
        """The study's budget."""
        return Budget.of(self.identity["budget"])

    @cached_property
    def records(self) -> list[Record]:
        """All trials."""
        return read_trials(self.study)

    @cached_property
    def layers(self) -> dict[str, LayerOptions]:
        """Layer → its options with what they cost; empty in studies of older versions."""
        return read_layers(self.folder.layers)

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Phase → seconds of all trials, the longest first (see `phases`): their sum is the trials' time."""
        return seconds_of(self.records)

    @property
    def trials(self) -> pd.DataFrame:
        """All trials as a table: see `tables.trial_table`."""
        return trial_table(self.records, self.scale.name, self.dense.costs)

    @cached_property
    def scored(self) -> list[Scored]:
        """The complete trials within the study's budget."""
        return scored(self.records, self.scale)

    @cached_property
    def retained(self) -> list[Scored]:
        """The trials whose weights are kept: see `front.retained_of`."""
        return retained_of(self.scored, self.dense.costs)

    @property
    def objectives(self) -> list[str]:
        """What the study optimises: the score first, then metrics."""
        return str(self.identity["objectives"]).split(", ")

    @property
    def front_costs(self) -> list[str]:
        """The metrics that the front trades the score for.

        Those among the objectives; under the score alone, those that the budget bounds.
        """
        return self.objectives[1:] or [bound.metric for bound in self.budget.bounds]

    @cached_property
    def on_front(self) -> list[Scored]:
        """The front of the study's objectives, the cheapest first."""
        return front_of(self.retained, self.front_costs)

    @cached_property
    def front(self) -> pd.DataFrame:
        """The front as a table, the cheapest first.

        Columns: ``trial``; the score under its name, and every metric; each as a percentage of the dense model
        (``params_pct`` …); for a proportion such as accuracy the 95 % interval (``accuracy_low``, ``accuracy_high``);
        how often its plan was run and, if more than once, the mean (``runs``, ``accuracy_mean``); where there is a test
        split, the score on it (``test_accuracy`` …); ``plan``, as JSON that `Plan.from_json` reads.
        """
        return front_table(self)

    def check_belongs(self, objective: Objective) -> None:
        """Refuse an objective whose model, data, loss or score are not the study's; raises `RankfrontError`."""
        check_same(self.identity, {"int8": objective.task.int8, **objective.identity}, str(self.folder.path), None)

    def test_score(self, trial: int | None) -> float | None:
        """Return a trial's score on the test split (the dense model's for None), once it was taken."""
        return self.study.user_attrs.get(TEST, {}).get("dense" if trial is None else str(trial))

    @cached_property
    def has_intervals(self) -> bool:
        """Whether scores have intervals: those of proportions, and whatever the study stores one of."""
        return self.scale.proportion or any(trial.interval is not None for trial in self.scored)

    def interval(self, trial: Scored) -> Interval | None:
        """Return the 95 % interval of a trial's validation score; None for a score that has none."""
        return trial.interval or self.scale.interval(trial.score, self.dense.samples["validation"])

    def test_interval(self, trial: int) -> Interval | None:
        """Return the 95 % interval of a trial's test score; None for a score that has none, or before it was taken."""
        stored = self.study.user_attrs.get(TEST_INTERVALS, {}).get(str(trial))
        return as_interval(stored) or self.scale.interval(self.test_score(trial), self.dense.samples["test"])

    def best_trial(self, budget: str | Sequence[str] | Budget | None = None) -> Scored:
        """Return the best-scoring trial within a budget (the study's own if none is given).

        Raises:
            RankfrontError: no trial keeps it.
        """
        return best_of(self, self.budget if budget is None else Budget.of(budget))

    @property
    def best(self) -> nn.Module:
        """The best model within the study's budget, in eval mode on the CPU.

        Raises:
            RankfrontError: no trial keeps the budget, or the result was opened without a model.
        """
        return self.model()

    def model(self, budget: str | Sequence[str] | Budget | None = None) -> nn.Module:
        """Return the best model within a budget asked for afterwards; as `best` otherwise.

        After ``run(…, shared=True)`` it may be `sliced`, where that scores better than every trial within the budget.
        """
        return model_within(self, None if budget is None else Budget.of(budget))

    def sliced(self, budget: str | Sequence[str] | Budget) -> Slice:
        """Return a network at any budget, without a trial of its own: a slice of the weights that all plans share.

        Raises:
            RankfrontError: this is not what ``run(…, shared=True)`` returned, no plan keeps the budget, or it is on the
                score.
        """
        return slice_within(self, Budget.of(budget))

    def load(self, trial: Scored, architecture: nn.Module) -> nn.Module:
        """Return the network of a trial on the front, in eval mode on the CPU.

        Raises:
            RankfrontError: its weights are not there, or not whole.
        """
        return loaded(self, trial, architecture)

    def weights(self, trial: Scored) -> Path:
        """Return where the weights of a trial on the front lie; the very ones that were scored.

        Raises:
            RankfrontError: they are not there, or are others.
        """
        return checked_weights(self, trial)

    @property
    def finished(self) -> list[FinishedModel]:
        """The models that ``finish`` made, one a budget."""
        return finished_models(self.folder, self.scale.name)

    def finished_within(self, budget: str | Sequence[str] | Budget | None = None) -> FinishedModel | None:
        """Return the finished model of a budget (the study's own if none is given); None where there is none."""
        return finished_within(self, self.budget if budget is None else Budget.of(budget))

    @property
    def int8(self) -> bool:
        """Whether networks are shipped as int8."""
        return bool(self.identity.get("int8", False))

    @property
    def figures(self) -> dict[str, go.Figure]:
        """The plots of the page, by name: see `figures.figures_of`."""
        from .plots.figures import figures_of

        return figures_of(self)

    @outermost
    def export(
        self, to: str | Path, budget: str | Sequence[str] | Budget | None = None, *, finished: bool = True
    ) -> tuple[Path, Path]:
        """Write the best model's weights and plan; returns the two paths.

        Args:
            to: ``FILE.safetensors`` (its plan goes to ``FILE.plan.json``), or a folder for
                ``model.safetensors`` and ``plan.json``; of a Hugging Face model with code for transformers, too.
            budget: as for `best_trial`.
            finished: whether the finished model of that budget is meant, where there is one.
        """
        return export_model(self, Path(to), budget, finished=finished)[0]
