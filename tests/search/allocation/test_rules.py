"""The contract of an allocation rule, and what each of them promises."""

from dataclasses import replace

import numpy as np
import pytest

from rankfront.search.allocation.energy import energy
from rankfront.search.allocation.registry import RULES, rule_named
from rankfront.search.allocation.uniform import uniform
from rankfront.search.space.candidates import Candidates
from tests.search.toys import all_choices, error_of, toy_candidates

KNOWN = toy_candidates(depth=3)


def limits(candidates: Candidates, share: float) -> dict[str, dict[str, float]]:
    dense, least = candidates.dense, candidates.smallest["bytes"]
    return {
        "none": {},
        "params": {"params": share * dense["params"]},
        "bytes": {"bytes": least + share * (dense["bytes"] - least)},
        "two": {"params": share * dense["params"], "flops": share * dense["flops"]},
    }


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("which", limits(KNOWN, 1))
def test_keeps_the_limits_and_errs_less_with_more(rule: str, which: str) -> None:
    errors = []
    for share in (0.45, 0.6, 0.8):  # below, the rule may have no plan of its own and take the knapsack's
        asked = limits(KNOWN, share)[which]
        choices = rule_named(rule)(KNOWN, asked)
        assert choices is not None
        cost = KNOWN.costs.of(KNOWN.plan(choices))
        assert all(getattr(cost, name) <= bound for name, bound in asked.items())
        errors.append(error_of(KNOWN, choices))
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("rule", RULES)
def test_none_where_nothing_fits(rule: str) -> None:
    assert rule_named(rule)(KNOWN, {"params": 0.5 * KNOWN.smallest["params"]}) is None


def test_the_knapsack_errs_least_of_them() -> None:
    for share in (0.3, 0.5, 0.7):
        asked = {"params": share * KNOWN.dense["params"]}
        found = {name: rule_named(name)(KNOWN, asked) for name in RULES}
        errors = {name: error_of(KNOWN, choices) for name, choices in found.items() if choices is not None}
        # It is a heuristic too: with so few choices it may miss the best by a step of a rank.
        assert errors["knapsack"] <= 1.1 * min(errors.values())


def test_energy_has_the_least_largest_error() -> None:
    """The oracle: no plan of the same cost in which every layer errs less than its worst."""
    asked = {"params": 0.5 * KNOWN.dense["params"]}
    choices = energy(KNOWN, asked)
    assert choices is not None
    worst = float(KNOWN.errors[range(len(choices)), choices].max())
    cost = np.where(KNOWN.errors < worst - 1e-12, KNOWN.changes[:, :, 0], np.inf).min(1).sum()
    assert cost + KNOWN.start["params"] > asked["params"]


def test_evbmf_cuts_layers_in_the_proportion_of_their_noise() -> None:
    """What is noise, and no more, is cut where that is what the limit asks for."""
    known = replace(KNOWN)
    known.__dict__["noise"] = np.random.default_rng(0).uniform(0.01, 0.3, len(KNOWN.names))
    choices = np.where(known.errors <= known.noise[:, None], known.changes[:, :, 0], np.inf).argmin(1)
    found = rule_named("evbmf")(known, {"params": known.costs.of(known.plan(choices)).params})
    assert found is not None and np.array_equal(found, choices)


def test_uniform_keeps_no_layer_much_fuller_than_another() -> None:
    choices = uniform(KNOWN, {"params": 0.5 * KNOWN.dense["params"]})
    assert choices is not None
    shares = KNOWN.costs.shares(KNOWN.plan(choices)).values()
    assert max(shares) <= 0.6


def with_slopes(slopes: dict[str, list[float]], kinds: tuple[str, ...] = ("svd",)) -> Candidates:
    known = toy_candidates(depth=3, kinds=kinds)
    return replace(known, find_slopes=lambda: {name: np.array(each) for name, each in slopes.items()})


def ranks_of(known: Candidates, share: float) -> list[int | None]:
    choices = rule_named("zero_sum")(known, {"params": share * known.dense["params"]})
    assert choices is not None
    return [choice.rank if isinstance(choice.rank, int) else None for choice in known.plan(choices).values()]


def test_zero_sum_drops_what_balances() -> None:
    """Two layers whose losses cancel each other are cut alike; those that would only raise the loss are spared."""
    names = toy_candidates(depth=3, kinds=("svd",)).names
    slopes = {name: [50.0] * 12 for name in names}
    slopes[names[0]], slopes[names[1]] = [1.0] * 12, [-1.0] * 12
    first, second, *others = ranks_of(with_slopes(slopes), 0.85)
    assert first is not None and second is not None and abs(first - second) <= 1
    assert others == [None] * len(others)


def test_zero_sum_keeps_the_running_sum_small() -> None:
    """The oracle: of all orders it takes the one in which the sum never leaves what one component can move it by."""
    rng = np.random.default_rng(0)
    names = toy_candidates(depth=3, kinds=("svd",)).names
    slopes = {name: rng.normal(size=12).tolist() for name in names}
    known = with_slopes(slopes)
    choices = rule_named("zero_sum")(known, {"params": 0.6 * known.dense["params"]})
    assert choices is not None
    dropped = [
        sum(slopes[name][choice.rank :]) for name, choice in known.plan(choices).items() if isinstance(choice.rank, int)
    ]
    every = [abs(slope) for each in slopes.values() for slope in each]
    assert abs(sum(dropped)) <= 3 * max(every)


def test_zero_sum_without_slopes_is_the_knapsack() -> None:
    known = toy_candidates(depth=3, kinds=("tt",))
    asked = {"params": 0.6 * known.dense["params"]}
    assert np.array_equal(rule_named("zero_sum")(known, asked), rule_named("knapsack")(known, asked))


def test_interpolated_is_no_worse_than_its_ends() -> None:
    for share in (0.3, 0.5, 0.7):
        asked = {"params": share * KNOWN.dense["params"]}
        found = {name: rule_named(name)(KNOWN, asked) for name in ("uniform", "energy", "interpolated")}
        errors = {name: error_of(KNOWN, choices) for name, choices in found.items() if choices is not None}
        assert errors["interpolated"] <= min(errors.values())


def test_exact_has_the_least_summed_error() -> None:
    """Against every plan of a small space."""
    known = toy_candidates(depth=1, kinds=("svd",))
    for share in (0.4, 0.6, 0.8):
        asked = {"params": share * known.dense["params"]}
        choices = rule_named("exact")(known, asked)
        assert choices is not None
        least = min(error_of(known, plan) for plan in all_choices(known) if known.fits(plan, asked)[0])
        assert error_of(known, choices) <= 1.001 * least
