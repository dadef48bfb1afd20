"""The contract of a sampler: every sampler × toy studies whose score is not what the knapsack minimises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from rankfront import Plan, RankfrontError
from rankfront.objectives.plan import DENSE
from rankfront.search.allocation.registry import RULES
from rankfront.search.samplers.asker import Asker
from rankfront.search.samplers.registry import SAMPLERS, check_sampler, make_sampler, sampler_name
from tests.search.samplers.driving import (
    DIRECTIONS,
    LOSS_SCALE,
    QUICK,
    SPACES,
    ask,
    crossed,
    drive,
    new_study,
    problem,
)
from tests.search.toys import toy_candidates, toy_space


@pytest.mark.parametrize(("sampler", "space", "objectives"), crossed(list(SPACES), list(DIRECTIONS)))
def test_never_over_budget_and_never_a_plan_twice(sampler: str, space: str, objectives: str) -> None:
    toy, study = SPACES[space](), new_study(DIRECTIONS[objectives])
    proposals = drive(study, toy, sampler, 14, trials=40)
    assert len(set(proposals)) == len(proposals) == 14
    for trial, choices in zip(study.trials, proposals, strict=True):
        assert tuple(toy.choices(trial.params).tolist()) == choices
        assert toy.fits(np.array(choices))[0]
        assert trial.state == TrialState.COMPLETE


@pytest.mark.parametrize("sampler", [*RULES, "greedy", "directions"])
def test_the_front_goes_no_further_down_than_the_budget_says(sampler: str) -> None:
    whole = toy_space(0.9)
    dense = whole.candidates.dense["params"]
    upper = replace(whole, down_to={"params": 0.6 * dense})
    used = {}
    for name, space in {"whole": whole, "upper": upper}.items():
        proposals = np.array(drive(new_study(DIRECTIONS["two"]), space, sampler, 10))
        used[name] = space.candidates.costs_of(proposals)["params"] / dense
    assert used["whole"].min() < 0.5
    assert used["upper"].min() > 0.55
    assert used["upper"].max() > 0.8


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_resumes_to_the_same_proposals(sampler: str) -> None:
    space = toy_space(0.5)
    total = 8 if sampler == "gp" else 14
    whole = drive(new_study(DIRECTIONS["two"]), space, sampler, total)
    study = new_study(DIRECTIONS["two"])
    parts = drive(study, space, sampler, 6, trials=total) + drive(study, space, sampler, total)
    assert parts == whole


@pytest.mark.parametrize(("sampler", "space"), crossed(list(SPACES)))
def test_workers_do_not_propose_the_same_plan(sampler: str, space: str) -> None:
    """Each asks while the others' trials run."""
    toy, study = SPACES[space](), new_study(DIRECTIONS["two"])
    drive(study, toy, sampler, 3, trials=40)
    plans = {ask(Asker(study, problem(toy, 40), sampler), slot) for slot in range(3, 15)}
    assert len(plans) == 12


def test_a_worker_that_proposes_while_another_scores_proposes_another_plan() -> None:
    space, study = toy_space(0.5), new_study(DIRECTIONS["two"])
    others: list[tuple[int, ...] | None] = []
    told = problem(space, 40)

    def before(plan: Plan) -> float | None:
        if not others:
            others.append(None)
            others.append(ask(Asker(study, problem(space, 40), "directions"), 1))
            study.sampler = mine._fixed
        return told.score_before_finetuning(plan)

    mine = Asker(study, replace(told, score_before_finetuning=before), "directions")
    ours = ask(mine, 0)
    assert others[1] is not None and ours != others[1]


@pytest.mark.parametrize("sampler", [name for name in QUICK if name not in RULES])
def test_another_seed_proposes_otherwise(sampler: str) -> None:
    space = toy_space(0.5)
    first, second = (drive(new_study(DIRECTIONS["one"]), space, sampler, 12, seed) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize("sampler", QUICK)
def test_a_score_to_be_minimised_is_proposed_for_alike(sampler: str) -> None:
    space = toy_space(0.5)
    maximised = drive(new_study(["maximize", "minimize"]), space, sampler, 14)
    assert drive(new_study(["minimize", "minimize"]), space, sampler, 14, scale=LOSS_SCALE) == maximised


@pytest.mark.parametrize("value", [None, float("inf"), float("nan")])
def test_greedy_takes_a_table_without_any_score(value: float | None) -> None:
    space, study = toy_space(0.5), new_study(DIRECTIONS["two"])
    asker = Asker(study, replace(problem(space, 10), factorized_score=lambda plan: value), "greedy")
    for slot in range(3):
        assert space.fits(np.array(ask(asker, slot)))[0]


def test_greedy_takes_networks_without_a_score() -> None:
    space, study = toy_space(0.5), new_study(DIRECTIONS["two"])
    first = space.candidates.names[0]
    told = problem(space, 10)

    def score(plan: Plan) -> float | None:
        return None if plan[first] != DENSE else told.factorized_score(plan)

    assert space.fits(np.array(ask(Asker(study, replace(told, factorized_score=score), "greedy"), 0)))[0]


class Halves:
    """A user's sampler."""

    def propose(self, history: object, slot: int) -> list[int]:
        return [int(size) // 2 for size in toy_candidates().sizes]


def test_a_users_sampler_is_used_as_it_is() -> None:
    space = toy_space(0.5)
    first, second = drive(new_study(DIRECTIONS["two"]), space, Halves(), 2)
    assert first == second == tuple(Halves().propose(None, 0))
    assert sampler_name(Halves()).endswith("test_samplers.Halves")


@pytest.mark.parametrize(
    ("proposed", "said"),
    [
        ([0, 0], r"sampler .*Fake must propose an array of shape \(6,\), one integer a layer, but got \(2,\)"),
        (3, r"must propose an array of shape \(6,\), one integer a layer, but got \(\)"),
        ([0.0] * 6, r"must propose integers, one a layer, but got \[0\.0, "),
        ([True] * 6, "must propose integers, one a layer, but got"),
        (None, "must propose integers, one a layer, but got None"),
        ([[0], [0, 1]], "must propose integers, one a layer, but got"),
        ("dense", "must propose integers, one a layer, but got 'dense'"),
        ([-1, 0, 0, 0, 0, 0], r"must propose a choice from 0 to \d+ for layer 0, but got -1"),
        ([0, 0, 0, 0, 0, 99], r"must propose a choice from 0 to \d+ for layer 6\.4, but got 99"),
    ],
    ids=str,
)
def test_what_a_users_sampler_returns_is_checked(proposed: object, said: str) -> None:
    class Fake:
        def propose(self, history: object, slot: int) -> object:
            return proposed

    with pytest.raises(RankfrontError, match=said):
        drive(new_study(DIRECTIONS["two"]), toy_space(0.5), Fake(), 1)


class Watching(optuna.samplers.RandomSampler):
    """An Optuna sampler of a user's that counts what it is told."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.before = self.after = 0

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.before += 1

    def after_trial(self, study: object, trial: object, state: TrialState, values: Sequence[float] | None) -> None:
        self.after += state == TrialState.COMPLETE


@pytest.mark.parametrize("space", SPACES)
def test_an_optuna_sampler_is_repaired_and_told_of_trials(space: str) -> None:
    toy, sampler = SPACES[space](), Watching(0)
    proposals = drive(new_study(DIRECTIONS["two"]), toy, sampler, 8)
    assert all(toy.fits(np.array(choices))[0] for choices in proposals) and len(set(proposals)) == 8
    assert (sampler.before, sampler.after) == (8, 8)


def test_an_enqueued_trial_keeps_its_parameters() -> None:
    space, study = toy_space(0.5), new_study(DIRECTIONS["two"])
    study.enqueue_trial(space.params(np.zeros(6, np.int64)))
    assert drive(study, space, "directions", 2)[0] == (0,) * 6


@pytest.mark.parametrize(
    "wrong",
    ["cma", None, 3, Halves, object(), lambda history, slot: [0]],
    ids=["name", "None", "number", "class", "object", "function"],
)
def test_what_is_no_sampler_is_refused(wrong: object) -> None:
    said = "one of directions, .*, random"
    for function in (check_sampler, make_sampler):
        with pytest.raises(RankfrontError, match=f"sampler must be {said}"):
            function(wrong)


def test_names_are_known_without_torch_optuna_and_scipy() -> None:
    code = (
        "import importlib, sys, types\n"
        "for name in ('rankfront', 'rankfront.search', 'rankfront.objectives'):\n"  # their faces are others' concern
        "    module = types.ModuleType(name)\n"
        "    module.__path__ = [name.replace('.', '/')]\n"
        "    sys.modules[name] = module\n"
        "registry = importlib.import_module('rankfront.search.samplers.registry')\n"
        "registry.check_sampler('tpe')\n"
        "assert list(registry.SAMPLERS)[0] == registry.DEFAULT\n"
        "print(sorted({'torch', 'optuna', 'scipy', 'numpy'} & sys.modules.keys()))\n"
    )
    root = __file__.rpartition("/tests/")[0]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert found.stdout.strip() == "[]"
