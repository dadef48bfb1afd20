"""The contract of a sampler: every sampler × toy studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from rankfront import Plan, RankfrontError
from rankfront.objectives.plan import DENSE
from rankfront.search.allocation.rules import RULES
from rankfront.search.results.front import area
from rankfront.search.samplers.directions.sampler import DirectionsSampler, Hope
from rankfront.search.samplers.problem import Problem
from rankfront.search.samplers.registry import SAMPLERS, make_sampler
from rankfront.search.space.space import Space
from rankfront.search.storage.slots import SLOT, next_slot
from rankfront.search.storage.trials import SCORE, SCORE_BEFORE_FINETUNING
from tests.search.toys import error_of, toy_candidates, toy_space

optuna.logging.set_verbosity(optuna.logging.WARNING)
TOYS = {
    "tight": lambda: toy_space(0.35),
    "loose": lambda: toy_space(0.8),
    "two limits": lambda: _two_limits(),
    "no budget": lambda: Space(toy_candidates(), {}),
}
OBJECTIVES = {"one": ["maximize"], "two": ["maximize", "minimize"]}


def _two_limits() -> Space:
    candidates = toy_candidates()
    dense = candidates.costs.dense
    return Space(candidates, {"params": 0.5 * dense.params, "flops": 0.4 * dense.flops})


def problem(space: Space, trials: int, seed: int = 0) -> Problem:
    """What a sampler is told: untrained, a plan scores as it does in the end."""
    return Problem(
        space,
        seed,
        trials,
        lambda plan: -error_of(space.candidates, plan),
        lambda plan: -error_of(space.candidates, plan),
        0,
    )


def drive(
    study: optuna.Study, space: Space, sampler: str, total: int, seed: int = 0, trials: int = 0
) -> list[tuple[int, ...]]:
    """Run a stub study: a plan scores the negative sum of its layers' errors."""
    study.sampler = make_sampler(sampler, problem(space, trials or total, seed))
    proposals = []
    while (slot := next_slot(study)) < total:
        trial = study.ask(space.distributions)
        trial.set_user_attr(SLOT, slot)
        plan = space.plan(trial.params)
        for metric, violation in space.violations(plan).items():
            trial.set_constraint(metric, violation)
        score = -error_of(space.candidates, plan)
        trial.set_user_attr(SCORE, score)
        trial.set_user_attr(SCORE_BEFORE_FINETUNING, score)
        study.tell(trial, [score, space.candidates.costs.of(plan).params][: len(study.directions)])
        proposals.append(tuple(trial.params.values()))
    return proposals


def new_study(directions: Sequence[str]) -> optuna.Study:
    return optuna.create_study(directions=list(directions), storage="sqlite:///:memory:")


@pytest.mark.parametrize("objectives", OBJECTIVES)
@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_never_over_budget_and_never_a_plan_twice(sampler: str, toy: str, objectives: str) -> None:
    space, study = TOYS[toy](), new_study(OBJECTIVES[objectives])
    proposals = drive(study, space, sampler, 14, trials=40)
    assert len(set(proposals)) == len(proposals) == 14
    for trial in study.trials:
        assert space.fits(space.plan(trial.params))
        assert trial.state == TrialState.COMPLETE


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_resumes_to_the_same_proposals(sampler: str) -> None:
    space = toy_space(0.5)
    whole = drive(new_study(OBJECTIVES["two"]), space, sampler, 14)
    study = new_study(OBJECTIVES["two"])
    parts = drive(study, space, sampler, 6, trials=14) + drive(study, space, sampler, 14)
    assert parts == whole


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_workers_do_not_propose_the_same_plan(sampler: str, toy: str) -> None:
    """Each asks while the others' trials run."""
    space, study = TOYS[toy](), new_study(OBJECTIVES["two"])
    drive(study, space, sampler, 3, trials=40)
    plans: set[tuple[int, ...]] = set()
    for slot in range(3, 15):
        study.sampler = make_sampler(sampler, problem(space, 40))  # each worker has one of its own
        trial = study.ask()
        trial.set_user_attr(SLOT, slot)
        space.suggest(trial)
        plans.add(tuple(trial.params.values()))
    assert len(plans) == 12


def test_a_worker_that_proposes_while_another_screens_proposes_another_plan() -> None:
    space, study = toy_space(0.5), new_study(OBJECTIVES["two"])
    others: list[tuple[int, ...] | None] = []

    def untrained(plan: Plan) -> float:
        if not others:
            others.append(None)
            study.sampler = DirectionsSampler(problem(space, 40))
            trial = study.ask()
            trial.set_user_attr(SLOT, 1)
            space.suggest(trial)
            others.append(tuple(trial.params.values()))
            study.sampler = mine
        return -error_of(space.candidates, plan)

    mine = DirectionsSampler(replace(problem(space, 40), untrained=untrained))
    study.sampler = mine
    trial = study.ask()
    trial.set_user_attr(SLOT, 0)
    space.suggest(trial)
    assert others[1] is not None and tuple(trial.params.values()) != others[1]


@pytest.mark.parametrize("sampler", SAMPLERS.keys() - RULES.keys())
def test_another_seed_proposes_otherwise(sampler: str) -> None:
    space = toy_space(0.5)
    first, second = (drive(new_study(OBJECTIVES["one"]), space, sampler, 12, seed) for seed in (0, 1))
    assert first != second


def test_directions_start_with_the_rule_that_is_best_untrained() -> None:
    space = toy_space(0.5)
    candidates = space.candidates
    plans = {name: rule(candidates, space.limits) for name, rule in RULES.items()}
    picks = {name: tuple(space.params(plan).values()) for name, plan in plans.items() if plan is not None}
    assert len(set(picks.values())) > 1
    for liked in picks:
        study = new_study(OBJECTIVES["one"])
        told = replace(problem(space, 10), untrained=lambda plan, liked=liked: -float(plan != plans[liked]))
        study.sampler = DirectionsSampler(told)
        assert tuple(study.ask(space.distributions).params.values()) == picks[liked]


def test_directions_stand_networks_without_an_untrained_score() -> None:
    space, study = toy_space(0.5), new_study(OBJECTIVES["two"])
    study.sampler = DirectionsSampler(replace(problem(space, 10), untrained=lambda plan: None))
    plans = {tuple(study.ask(space.distributions).params.values()) for _ in range(3)}
    assert len(plans) == 3


def test_directions_stand_a_budget_that_a_single_plan_keeps() -> None:
    candidates = toy_candidates()
    space = Space(candidates, {"params": candidates.smallest.params})
    assert len(set(drive(new_study(OBJECTIVES["two"]), space, "directions", 6))) == 1


def test_directions_end_with_the_leaders_again() -> None:
    space, study = toy_space(0.5), new_study(OBJECTIVES["two"])
    *others, one, two = drive(study, space, "directions", 30)
    assert len(set(others)) == 28 and one != two
    best = sorted(study.trials[:28], key=lambda t: -t.user_attrs[SCORE])[:2]
    assert [one, two] == [tuple(t.params.values()) for t in best]


def test_directions_find_what_the_knapsack_does_not_know() -> None:
    """Where the true score weighs the first layer more than its error says, the search finds out."""
    space = toy_space(0.35, depth=4)
    study = new_study(OBJECTIVES["one"])
    study.sampler = DirectionsSampler(problem(space, 40))

    def score(trial: optuna.Trial) -> float:
        picks = space.candidates.picks(space.plan(trial.params))
        errors = space.candidates.errors[range(len(picks)), picks]
        return -float(20 * errors[0] + errors[1:].sum())

    scores = []
    for slot in range(40):
        trial = study.ask(space.distributions)
        trial.set_user_attr(SLOT, slot)
        trial.set_user_attr(SCORE, score(trial))
        scores.append(score(trial))
        study.tell(trial, scores[-1])
    assert max(scores) > 0.7 * scores[0]


def test_expected_growth_is_that_of_sampled_scores() -> None:
    """The oracle: scores drawn from the normal distribution that is expected, the front's area with each."""
    space, study = toy_space(0.5), new_study(OBJECTIVES["two"])
    sampler = DirectionsSampler(problem(space, 40))
    study.sampler = sampler
    drive(study, space, "directions", 8, trials=40)
    known = sampler._known(study)
    picks = known.picks[::2]
    hope = Hope(known.scores[::2] + np.array([-0.2, 0.0, 0.1, 0.3]), 0.15)
    floor, front = sampler._floor(known), known.front
    usage, gains = known.usage[front], known.scores[front] - floor
    now = area(usage, gains)
    rng = np.random.default_rng(0)
    for plan, value, found in zip(picks, hope.values, sampler._growth(known, picks, hope), strict=True):
        drawn = (value + hope.error * rng.standard_normal(4000) - floor).clip(0)
        with_it = [area(np.append(usage, sampler._usage(plan[None])), np.append(gains, gain)) - now for gain in drawn]
        assert found == pytest.approx(np.mean(with_it), abs=4 * np.std(with_it) / np.sqrt(4000) + 1e-12)


def test_greedy_stands_networks_without_a_score() -> None:
    space, study = toy_space(0.5), new_study(OBJECTIVES["two"])
    first = space.candidates.names[0]

    def bare(plan: Plan) -> float | None:
        return None if plan[first] != DENSE else -error_of(space.candidates, plan)

    study.sampler = make_sampler("greedy", replace(problem(space, 10), bare=bare))
    assert space.fits(space.plan(study.ask(space.distributions).params))


def test_unknown_sampler() -> None:
    with pytest.raises(RankfrontError, match=r"sampler must be one of directions, greedy, .*, random, but got 'cma'"):
        make_sampler("cma", problem(toy_space(), 10))
