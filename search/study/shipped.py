"""Which model is shipped: the best within a budget, or what ``finish`` made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...objectives.errors import RankfrontError
from ...objectives.export.int8 import dequantized
from ...objectives.export.model_files import load_model
from ...objectives.export.plan_files import read_model_files_at
from ...objectives.metrics.registry import METRICS
from ...objectives.model.mode import in_eval
from ...objectives.objective import Objective
from ...objectives.plan import Plan
from ..results.finished import none_finished
from ..results.model_files import model_description
from ..results.result import Result
from ..space.budget import Budget


@dataclass(frozen=True)
class Shipped:
    """A model to be written as a file."""

    model: nn.Module
    """In floating point, in eval mode, on the CPU."""
    trial: int
    plan: Plan
    about: dict[str, Any]
    """What its ``plan.json`` says besides the plan."""
    budget: Budget
    dense: Any

    def limit(self, metric: str) -> float:
        """Return what the budget allows of a metric; infinity where it says nothing."""
        return self.budget.limits(self.dense).get(metric, float("inf"))

    def over_budget(self, metrics: Mapping[str, float]) -> str:
        """Return what another form of the model costs more than its budget allows; empty where it keeps it."""
        for name, limit in self.budget.limits(self.dense).items():
            if name in metrics and metrics[name] > limit:
                show = METRICS[name].show
                return f"their {name} would be {show(metrics[name])}, over {self.budget} ({show(limit)})"
        return ""


def shipped(
    result: Result, objective: Objective, budget: str | Sequence[str] | Budget | None, finished: bool | None
) -> Shipped:
    """Return the model of a budget (the study's own if none is given).

    Args:
        result: the study's, whose model and data `objective` holds.
        objective: see there.
        budget: as for `Result.best_trial`.
        finished: whether the one of ``finish`` is meant; None: where there is one.

    Raises:
        RankfrontError: no trial keeps the budget, or none was finished within it.
    """
    asked = result.budget if budget is None else Budget.of(budget)
    done = None if finished is False else result.finished_within(asked)
    task = objective.task
    if done is None:
        if finished:
            raise none_finished(result.folder, asked)
        trial = result.best_trial(asked)
        model, plan, about = result.load(trial, task.model), trial.plan, model_description(result, trial)
        number = trial.trial
    else:
        weights, plan, about = read_model_files_at(done.folder)
        about.pop("format")
        model = load_model(task.model, plan, weights, int8=result.int8, rewrites=objective.found.rewrites).cpu()
        number = done.trial
    if result.int8:
        model = dequantized(model, objective.dense, plan)
    return Shipped(in_eval(model), number, plan, about, asked, result.dense.metrics)


def shipped_again(result: Result, objective: Objective, plan: Plan, about: Mapping[str, Any]) -> nn.Module:
    """Return the model that an export was made of, from its description; in floating point, in eval mode, on the CPU.

    Raises:
        RankfrontError: the study no longer keeps it.
    """
    number, task = int(about["trial"]), objective.task
    if "key" in about:  # of `finish`
        folders = [model.folder for model in result.finished if model.key == about["key"]]
        if not folders:
            raise RankfrontError(f"the finished model of trial {number} that it was made of is not there any more")
        weights, plan, _ = read_model_files_at(folders[0])
        model = load_model(task.model, plan, weights, int8=result.int8, rewrites=objective.found.rewrites).cpu()
    else:
        trials = [trial for trial in result.scored if trial.trial == number]
        if not trials:
            raise RankfrontError(f"trial {number} that it was made of is no trial of this study within its budget")
        model = result.load(trials[0], task.model)
    return in_eval(dequantized(model, objective.dense, plan) if result.int8 else model)
