"""`run` with a sampler of the user's own, and with an Optuna sampler; resumed too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from rankfront import FineTune, RankfrontError, Result, Task
from rankfront.search.samplers.history import History
from tests.conftest import go


class RandomPlans:
    """Keeps nothing between proposals; over the budget now and then."""

    def propose(self, history: History, slot: int) -> np.ndarray:
        rng = np.random.default_rng(history.problem.seed_of(slot))
        return rng.integers(0, history.problem.space.candidates.sizes)


class NextToTheBest:
    """Looks at what the trials have taught."""

    def propose(self, history: History, slot: int) -> np.ndarray:
        observed = history.observations
        if not len(observed.values):
            return np.zeros(len(history.problem.space.candidates.names), np.int64)
        best = observed.choices[observed.values.argmin()]
        return np.minimum(best + 1, history.problem.space.candidates.sizes - 1)


def plans_of(result: Result) -> list[Any]:
    return [record.plan for record in result.records]


@pytest.mark.parametrize(
    "make",
    [RandomPlans, NextToTheBest, lambda: optuna.samplers.BruteForceSampler(seed=0)],
    ids=["own", "best", "optuna"],
)
def test_it_proposes_the_trials_of_a_study(task: Task, tmp_path: Path, make: Any) -> None:
    result = go(task, tmp_path / "out", sampler=make(), trials=5, budget="params=70%")
    assert len(result.records) == 5 and result.scored
    states = {record.state for record in result.records}
    assert states <= {"complete", "pruned"}
    for record in result.records:
        if not record.feasible:
            assert record.reason.startswith(("over budget, so not trained", "stopped after"))


def test_a_study_with_it_resumes_as_an_undisturbed_one(task: Task, tmp_path: Path) -> None:
    whole = go(task, tmp_path / "whole", sampler=RandomPlans(), trials=6)
    go(task, tmp_path / "parts", sampler=RandomPlans(), trials=2)
    parts = go(task, tmp_path / "parts", sampler=RandomPlans(), trials=6)
    assert plans_of(parts) == plans_of(whole)


def test_a_study_with_an_optuna_sampler_resumes_to_its_trials(task: Task, tmp_path: Path) -> None:
    go(task, tmp_path / "out", sampler=optuna.samplers.TPESampler(seed=0), trials=2, budget="flops=70%")
    result = go(task, tmp_path / "out", sampler=optuna.samplers.TPESampler(seed=1), trials=5, budget="flops=70%")
    assert len(result.records) == 5 and len(set(plans_of(result))) == 5
    assert all(record.feasible for record in result.records if record.state == "complete")


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_flops_limit_is_kept_by_different_plans_of_kinds_whose_flops_do_not_fall(
    task: Task, tmp_path: Path, sampler: str
) -> None:
    mixed = replace(task, kinds=("svd", "tt"), finetune=FineTune(epochs=0), refit=False)
    result = go(mixed, tmp_path / "out", sampler=sampler, trials=6, budget="flops=30%")
    assert [record.state for record in result.records] == ["complete"] * 6
    assert all(record.feasible for record in result.records) and len(set(plans_of(result))) == 6


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (RandomPlans(), NextToTheBest(), r"its sampler is '.*RandomPlans', not '.*NextToTheBest'"),
        ("random", optuna.samplers.RandomSampler(), "its sampler is 'random', not 'optuna.*RandomSampler'"),
    ],
    ids=["own", "optuna"],
)
def test_another_sampler_is_another_study(task: Task, tmp_path: Path, first: Any, then: Any, said: str) -> None:
    go(task, tmp_path / "out", sampler=first, trials=1)
    with pytest.raises(RankfrontError, match=said):
        go(task, tmp_path / "out", sampler=then, trials=2)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()], ids=str)
def test_what_it_raises_passes_and_leaves_the_trial_interrupted(
    task: Task, tmp_path: Path, error: BaseException
) -> None:
    class Broken:
        def propose(self, history: History, slot: int) -> np.ndarray:
            if slot == 1 and not mended:
                raise error
            return RandomPlans().propose(history, slot)

    mended = False
    told = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else RankfrontError
    with pytest.raises(told, match=r"Broken\.propose.* raised RuntimeError: a bug" if told is RankfrontError else None):
        go(task, tmp_path / "out", sampler=Broken(), trials=3)
    mended = True
    result = go(task, tmp_path / "out", sampler=Broken(), trials=3)
    assert len(result.records) == 3
    assert [t.state for t in result.study.trials].count(TrialState.FAIL) == 1


def test_what_it_returns_is_checked(task: Task, tmp_path: Path) -> None:
    class Wrong:
        def propose(self, history: History, slot: int) -> list[float]:
            return [0.5, 0.5, 0.5]

    with pytest.raises(RankfrontError, match=r"sampler .*Wrong must propose integers, one a layer, but got \[0\.5"):
        go(task, tmp_path / "out", sampler=Wrong(), trials=3)
