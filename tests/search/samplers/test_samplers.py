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
from rankfront.objectives.metrics.scale import Scale
from rankfront.objectives.plan import DENSE
from rankfront.search.allocation.registry import RULES, rule_named
from rankfront.search.samplers.asker import Asker
from rankfront.search.samplers.directions.sampler import RULE_TRIALS, SCORED_BEFORE, STARTS
from rankfront.search.samplers.problem import Problem
from rankfront.search.samplers.registry import SAMPLERS, check_sampler, make_sampler, sampler_name
from rankfront.search.space.limits import budget_fractions
from rankfront.search.space.space import Space
from rankfront.search.storage.slots import SLOT, next_slot
from rankfront.search.storage.trials import SCORE, SCORE_BEFORE_FINETUNING
from tests.search.toys import LANDSCAPES, Choices, Landscape, hypervolume, toy_candidates, toy_space

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACES = {
    "tight": lambda: toy_space(0.35),
    "loose": lambda: toy_space(0.8),
    "two limits": lambda: _two_limits(),
    "no budget": lambda: Space(toy_candidates(), {}),
}
DIRECTIONS = {"one": ["maximize"], "two": ["maximize", "minimize"]}
UNEQUAL = LANDSCAPES["layers weigh unequally"]
QUICK = [name for name in SAMPLERS if name != "gp"]
"""`gp` takes seconds a study: it is tried once in each test."""


def _two_limits() -> Space:
    candidates = toy_candidates()
    return Space(candidates, {"params": 0.5 * candidates.dense["params"], "flops": 0.4 * candidates.dense["flops"]})


def crossed(*lists: Sequence[str]) -> list[tuple[str, ...]]:
    """Every sampler but `gp` × the given lists, and `gp` × the first of each."""
    product = [()]
    for names in (QUICK, *lists):
        product = [(*row, name) for row in product for name in names]
    return [*product, ("gp", *(names[0] for names in lists))]


SCORE_SCALE = Scale("score")
LOSS_SCALE = Scale("loss", higher_is_better=False)


def problem(
    space: Space,
    trials: int,
    seed: int = 0,
    landscape: Landscape = UNEQUAL,
    objectives: int = 2,
    scale: Scale = SCORE_SCALE,
) -> Problem:
    """What a sampler is told."""

    def before(plan: Plan) -> float:
        return _sign(scale) * landscape.before(space.candidates, space.candidates.choices(plan))

    return Problem(space, seed, trials, before, before, scale, 0, ("params",)[: objectives - 1])


def _sign(scale: Scale) -> int:
    return 1 if scale.higher_is_better else -1


def drive(
    study: optuna.Study,
    space: Space,
    sampler: object,
    total: int,
    seed: int = 0,
    trials: int = 0,
    landscape: Landscape = UNEQUAL,
    scale: Scale = SCORE_SCALE,
    told: Problem | None = None,
) -> list[tuple[int, ...]]:
    """Run a stub study; returns the choices of its trials."""
    told = told or problem(space, trials or total, seed, landscape, len(study.directions), scale)
    asker = Asker(study, told, sampler)
    proposals = []
    while (slot := next_slot(study)) < total:
        trial = study.ask()
        trial.set_user_attr(SLOT, slot)
        choices = asker.suggest(trial, slot)
        for metric, violation in space.violations(choices).items():
            trial.set_constraint(metric, violation)
        score = _sign(scale) * landscape.score(space.candidates, choices)
        trial.set_user_attr(SCORE, score)
        trial.set_user_attr(SCORE_BEFORE_FINETUNING, _sign(scale) * landscape.before(space.candidates, choices))
        study.tell(trial, [score, space.candidates.costs.of(space.plan(choices)).params][: len(study.directions)])
        proposals.append(tuple(choices.tolist()))
    return proposals


def ask(asker: Asker, slot: int) -> tuple[int, ...]:
    """Have one trial proposed, and leave it running."""
    trial = asker.study.ask()
    trial.set_user_attr(SLOT, slot)
    return tuple(asker.suggest(trial, slot).tolist())


def new_study(directions: Sequence[str]) -> optuna.Study:
    return optuna.create_study(directions=list(directions))


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
