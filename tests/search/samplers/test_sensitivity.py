"""The model of what layers' errors cost: its derivatives, what it learns, what it leaves open."""

from dataclasses import replace

import numpy as np
import pytest

from rankfront.search.samplers.directions.sensitivity import POWER, Seen, Sensitivity
from rankfront.search.space.candidates import NARROW
from tests.search.toys import toy_candidates


def seen_of(model: Sensitivity, weights: np.ndarray, count: int, noise: float = 0.0) -> Seen:
    """Scores of random plans where layers' errors cost so much."""
    rng = np.random.default_rng(0)
    picks = rng.integers(0, model.candidates.sizes, (count, len(weights)))
    errors = model.candidates.errors[np.arange(len(weights)), picks]
    scores = 3 - 0.5 * np.log((errors * weights).sum(1) + 1e-6) + noise * rng.standard_normal(count)
    return Seen(picks, scores, np.full(count, noise), np.zeros(count), np.full(count, np.nan))


@pytest.fixture(scope="module")
def model() -> Sensitivity:
    return Sensitivity(toy_candidates(depth=4))


def test_derivatives_are_those_of_the_guess(model: Sensitivity) -> None:
    rng = np.random.default_rng(1)
    picks = rng.integers(0, model.candidates.sizes - 1, (7, len(model.candidates.names)))
    theta = 0.3 * rng.standard_normal(len(model._spread))
    _, jacobian = model._guess(theta, picks, -1.0)
    for column in range(len(theta)):
        step = 1e-6 * np.eye(len(theta))[column]
        ahead, behind = (model._guess(theta + sign * step, picks, -1.0)[0] for sign in (1, -1))
        assert (ahead - behind) / 2e-6 == pytest.approx(jacobian[:, column], abs=1e-5)


def test_learns_which_layer_matters(model: Sensitivity) -> None:
    layers = len(model.candidates.names)
    for important in (0, layers - 1):
        weights = np.ones(layers)
        weights[important] = 20.0
        draw = model.draw(seen_of(model, weights, 60, 0.02), np.random.default_rng(0), 0.0)
        worth = draw.worth / np.where(model.candidates.errors > 0, model.candidates.errors, 1.0)
        of_layer = np.nanmedian(np.where(np.isfinite(worth) & (worth > 0), worth, np.nan), axis=1)
        assert of_layer.argmax() == important
        others = seen_of(model, weights, 200)
        assert np.corrcoef(draw.expected(others.picks), others.scores)[0, 1] > 0.95


def test_without_trials_draws_are_the_prior_and_in_its_middle_layers_count_alike(model: Sensitivity) -> None:
    nothing = seen_of(model, np.ones(len(model.candidates.names)), 0)
    likeliest = model.draw(nothing, np.random.default_rng(0), 0.0)
    finite = np.isfinite(model.candidates.errors)
    harm = model.candidates.errors[finite] ** POWER + NARROW * model.candidates.narrowness[finite]
    assert likeliest.worth[finite] == pytest.approx(harm)
    one, two = (model.draw(nothing, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.allclose(one.worth[finite], two.worth[finite])


def test_more_trials_leave_less_open(model: Sensitivity) -> None:
    def spread(count: int) -> float:
        seen = seen_of(model, np.ones(len(model.candidates.names)), count, 0.05)
        logs = [np.log(model.draw(seen, np.random.default_rng(s)).worth[:, 0]) for s in range(12)]
        return float(np.std([log - log.mean() for log in logs], axis=0).mean())

    assert spread(120) < 0.7 * spread(4)


@pytest.mark.parametrize("scores", [[0.5, 0.5, 0.5], [0.0, 1.0, 1.0]])
def test_scores_without_order_do_no_harm(model: Sensitivity, scores: list[float]) -> None:
    seen = seen_of(model, np.ones(len(model.candidates.names)), 3)
    draw = model.draw(replace(seen, scores=np.array(scores)), np.random.default_rng(0))
    assert np.isfinite(draw.expected(seen.picks)).all()


def test_learns_that_bottlenecks_matter(model: Sensitivity) -> None:
    seen = seen_of(model, np.ones(len(model.candidates.names)), 60)
    narrow = model.candidates.narrowness[np.arange(seen.picks.shape[1]), seen.picks].sum(1)
    learnt = [
        model._fitted(middle, seen.picks, (scores - scores.mean()) / scores.std(), np.full(60, 0.2))[3]
        for middle in [np.concatenate([model._middle, np.zeros(len(model._spread) - 4)])]
        for scores in (-np.log(narrow + 1e-3), seen.scores)
    ]
    assert learnt[0] > np.log(NARROW) > learnt[1]
