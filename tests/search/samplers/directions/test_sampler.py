"""The default sampler: how it starts, where it proposes, what it scores, what it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rankfront import Plan
from rankfront.search.allocation.registry import rule_named
from rankfront.search.samplers.asker import Asker
from rankfront.search.samplers.directions.sampler import RULE_TRIALS, SCORED_BEFORE, STARTS
from rankfront.search.space.limits import budget_fractions
from rankfront.search.space.space import Space
from rankfront.search.storage.trials import SCORE
from tests.search.samplers.driving import (
    DIRECTIONS,
    ask,
    drive,
    new_study,
    problem,
)
from tests.search.toys import LANDSCAPES, Choices, Landscape, hypervolume, toy_candidates, toy_space


@pytest.mark.parametrize("landscape", LANDSCAPES)
def test_the_default_sampler_beats_random(landscape: str) -> None:
    """By the hypervolume after 30 trials, in every one of several studies, and clearly on average."""
    toy = LANDSCAPES[landscape]
    space = toy_space(0.6)

    def reached(sampler: str, seed: int) -> float:
        proposals = np.array(drive(new_study(DIRECTIONS["two"]), space, sampler, 30, seed, landscape=toy))
        exact = replace(toy, noise=0.0)
        scores = np.array([exact.score(space.candidates, choices) for choices in proposals])
        smallest = exact.score(space.candidates, np.zeros(len(space.candidates.names), np.int64))
        return hypervolume(budget_fractions(space, proposals), scores, smallest)

    ours, random = (np.array([reached(sampler, seed) for seed in range(5)]) for sampler in ("directions", "random"))
    assert (ours > random).all()
    assert ours.mean() > 1.3 * random.mean()


def test_directions_start_with_the_rule_that_scores_best_before_finetuning() -> None:
    space = toy_space(0.5)
    found = {name: rule_named(name)(space.candidates, space.limits) for name in STARTS}
    rules = {name: tuple(choices.tolist()) for name, choices in found.items() if choices is not None}
    assert len(set(rules.values())) > 1
    for best in rules.values():
        told = problem(space, 10, objectives=1)
        told = replace(told, score_before_finetuning=lambda p, best=best: -float(_tuple(space, p) != best))
        assert ask(Asker(new_study(DIRECTIONS["one"]), told, "directions"), 0) == best


def _tuple(space: Space, plan: Plan) -> tuple[int, ...]:
    return tuple(space.candidates.choices(plan).tolist())


def test_directions_take_networks_without_a_score_before_finetuning() -> None:
    space, study = toy_space(0.5), new_study(DIRECTIONS["two"])
    asker = Asker(study, replace(problem(space, 10), score_before_finetuning=lambda plan: None), "directions")
    assert len({ask(asker, slot) for slot in range(3)}) == 3


def test_directions_take_a_budget_that_a_single_plan_keeps() -> None:
    candidates = toy_candidates()
    space = Space(candidates, {"params": candidates.smallest["params"]})
    assert len(set(drive(new_study(DIRECTIONS["two"]), space, "directions", 6))) == 1


def test_directions_end_with_the_leaders_again() -> None:
    space, study = toy_space(0.5), new_study(DIRECTIONS["two"])
    *others, one, two = drive(study, space, "directions", 30)
    assert len(set(others)) == 28 and one != two
    best = sorted(study.trials[:28], key=lambda t: -t.user_attrs[SCORE])[:2]
    assert [one, two] == [tuple(space.choices(t.params).tolist()) for t in best]


def test_directions_find_what_the_knapsack_does_not_know() -> None:
    """Where the first layer counts 20 times, the search finds out, by the score alone."""
    space = toy_space(0.35, depth=4)

    def loss(_: object, choices: Choices) -> float:
        errors = space.candidates.errors[range(len(choices)), choices]
        return float(20 * errors[0] + errors[1:].sum())

    proposals = drive(new_study(DIRECTIONS["one"]), space, "directions", 40, landscape=Landscape(loss))
    losses = [loss(None, np.array(choices)) for choices in proposals]
    assert min(losses) < 0.7 * losses[0]


@pytest.mark.parametrize(("cost", "most"), [(0.0, 4), (0.02, 4), (0.04, 2), (0.06, 0), (3.0, 0)])
def test_directions_score_before_finetuning_what_a_tenth_of_a_trial_pays_for(cost: float, most: int) -> None:
    space, study, trials = toy_space(0.5), new_study(DIRECTIONS["two"]), 12
    told, asked = problem(space, trials), []

    def before(plan: Plan) -> float | None:
        asked.append(plan)
        return told.score_before_finetuning(plan)

    told = replace(told, cost_before_finetuning=cost)
    proposals = drive(study, space, "directions", trials, told=replace(told, score_before_finetuning=before))
    assert len(set(proposals)) == trials
    starts = RULE_TRIALS * len(STARTS) if most == SCORED_BEFORE else RULE_TRIALS * most
    assert len(asked) <= starts + (trials - RULE_TRIALS) * most + 1  # the smallest network once: gains count from it
    assert not most or len(asked) > most


@pytest.mark.parametrize(("wants_front", "least", "most"), [(False, 8, 16), (True, 1, 7)])
def test_directions_go_where_they_are_wanted(wants_front: bool, least: int, most: int) -> None:
    """Half of the trials lie at the budget, or the front below it has most of them."""
    space, study, trials = toy_space(0.5, depth=4), new_study(DIRECTIONS["two"]), 20
    told = replace(problem(space, trials), wants_front=wants_front)
    proposals = np.array(drive(study, space, "directions", trials, told=told))
    assert least <= (budget_fractions(space, proposals) > 0.9).sum() <= most


def test_directions_start_with_the_rule_of_least_error_where_no_score_is_paid_for() -> None:
    """Not with one that is merely uncertain: its plans hold what the errors say they hold."""
    space, study = toy_space(0.5, depth=4), new_study(DIRECTIONS["two"])
    told = replace(problem(space, 40), cost_before_finetuning=1.0, wants_front=True)
    proposals = drive(study, space, "directions", RULE_TRIALS, trials=40, told=told)
    candidates = space.candidates
    for choices in map(np.array, proposals):
        cost = candidates.exact_costs(choices, ["params"])
        found = [rule_named(rule)(candidates, cost) for rule in STARTS]
        penalised = candidates.penalised_errors
        least = min(penalised[range(len(c)), c].sum() for c in found if c is not None)
        assert penalised[range(len(choices)), choices].sum() <= least + 1e-9
