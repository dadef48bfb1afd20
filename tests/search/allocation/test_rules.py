"""The contract of an allocation rule, and what each of them promises."""

from dataclasses import replace

import numpy as np
import pytest

from rankfront.search.allocation.rules import RULES, energy, uniform
from rankfront.search.space.candidates import Candidates
from tests.search.toys import error_of, toy_candidates

KNOWN = toy_candidates(depth=3)


def limits(candidates: Candidates, share: float) -> dict[str, dict[str, float]]:
    dense = candidates.costs.dense
    return {
        "none": {},
        "params": {"params": share * dense.params},
        "bytes": {"bytes": candidates.smallest.bytes + share * (dense.bytes - candidates.smallest.bytes)},
        "two": {"params": share * dense.params, "flops": share * dense.flops},
    }


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("which", limits(KNOWN, 1))
def test_keeps_the_limits_and_errs_less_with_more(rule: str, which: str) -> None:
    errors = []
    for share in (0.45, 0.6, 0.8):  # below, the rule may have no plan of its own and take the knapsack's
        asked = limits(KNOWN, share)[which]
        plan = RULES[rule](KNOWN, asked)
        assert plan is not None
        cost = dict(KNOWN.costs.of(plan))
        assert all(cost[name] <= bound for name, bound in asked.items())
        errors.append(error_of(KNOWN, plan))
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("rule", RULES)
def test_none_where_nothing_fits(rule: str) -> None:
    assert RULES[rule](KNOWN, {"params": 0.5 * KNOWN.smallest.params}) is None


def test_the_knapsack_errs_least_of_them() -> None:
    for share in (0.3, 0.5, 0.7):
        asked = {"params": share * KNOWN.costs.dense.params}
        errors = {name: error_of(KNOWN, plan) for name, rule in RULES.items() if (plan := rule(KNOWN, asked))}
        # It is a heuristic too: with so few choices it may miss the best by a step of a rank.
        assert errors["knapsack"] <= 1.1 * min(errors.values())


def test_energy_has_the_least_largest_error() -> None:
    """The oracle: no plan of the same cost in which every layer errs less than its worst."""
    asked = {"params": 0.5 * KNOWN.costs.dense.params}
    plan = energy(KNOWN, asked)
    assert plan is not None
    picks = KNOWN.picks(plan)
    worst = float(KNOWN.errors[range(len(picks)), picks].max())
    cost = np.where(KNOWN.errors < worst - 1e-12, KNOWN.changes[:, :, 0], np.inf).min(1).sum()
    assert cost + KNOWN.costs.start.params > asked["params"]


def test_evbmf_cuts_layers_in_the_proportion_of_their_noise() -> None:
    """What is noise, and no more, is cut where that is what the limit asks for."""
    known = replace(KNOWN)
    known.__dict__["noise"] = np.random.default_rng(0).uniform(0.01, 0.3, len(KNOWN.names))
    picks = np.where(known.errors <= known.noise[:, None], known.changes[:, :, 0], np.inf).argmin(1)
    plan = RULES["evbmf"](known, {"params": known.costs.of(known.plan(picks)).params})
    assert plan == known.plan(picks)


def test_uniform_keeps_no_layer_much_fuller_than_another() -> None:
    plan = uniform(KNOWN, {"params": 0.5 * KNOWN.costs.dense.params})
    assert plan is not None
    shares = KNOWN.costs.shares(plan).values()
    assert max(shares) <= 0.6
