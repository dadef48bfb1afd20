"""The model of what layers' errors cost: its derivatives, what it learns, what it leaves open."""

from dataclasses import replace

import numpy as np
import pytest

from rankfront.search.samplers.directions.observations import TrainingSet
from rankfront.search.samplers.directions.sensitivity import Sensitivity
from tests.search.toys import toy_candidates


def training(model: Sensitivity, weights: np.ndarray, count: int, noise: float = 0.0) -> TrainingSet:
    """Values of random plans where layers' errors cost so much; less is better."""
    rng = np.random.default_rng(0)
    choices = rng.integers(0, model.candidates.sizes, (count, len(weights)))
    errors = model.candidates.penalised_errors[np.arange(len(weights)), choices]
    values = 0.5 * np.log((errors * weights).sum(1) + 1e-6) - 3 + noise * rng.standard_normal(count)
    return TrainingSet(choices, values, np.full(count, noise), np.zeros(count), np.full(count, np.nan))


@pytest.fixture(scope="module")
def model() -> Sensitivity:
    return Sensitivity(toy_candidates(depth=4))


def test_derivatives_are_those_of_the_prediction(model: Sensitivity) -> None:
    rng = np.random.default_rng(1)
    choices = rng.integers(0, model.candidates.sizes - 1, (7, len(model.candidates.names)))
    theta = 0.3 * rng.standard_normal(len(model._prior_std))
    _, jacobian = model._predicted(theta, choices, -1.0)
    for column in range(len(theta)):
        step = 1e-6 * np.eye(len(theta))[column]
        ahead, behind = (model._predicted(theta + sign * step, choices, -1.0)[0] for sign in (1, -1))
        assert (ahead - behind) / 2e-6 == pytest.approx(jacobian[:, column], abs=1e-5)


def test_learns_which_layer_matters(model: Sensitivity) -> None:
    layers = len(model.candidates.names)
    for important in (0, layers - 1):
        weights = np.ones(layers)
        weights[important] = 20.0
        sample = model.sample(training(model, weights, 60, 0.02), np.random.default_rng(0), 0.0)
        errors = model.candidates.penalised_errors
        known = np.isfinite(errors) & (errors > 0)
        ratio = np.full(known.shape, np.nan)
        ratio[known] = sample.weighted_errors[known] / errors[known]
        of_layer = np.nanmedian(ratio, axis=1)
        assert of_layer.argmax() == important
        others = training(model, weights, 200)
        assert np.corrcoef(sample.predict(others.choices), others.values)[0, 1] > 0.95


def test_without_trials_samples_are_of_the_prior_and_by_its_mean_layers_count_alike(model: Sensitivity) -> None:
    nothing = training(model, np.ones(len(model.candidates.names)), 0)
    likeliest = model.sample(nothing, np.random.default_rng(0), 0.0)
    finite = np.isfinite(model.candidates.errors)
    assert likeliest.weighted_errors[finite] == pytest.approx(model.candidates.penalised_errors[finite])
    one, two = (model.sample(nothing, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.allclose(one.weighted_errors[finite], two.weighted_errors[finite])


def test_more_trials_leave_less_open(model: Sensitivity) -> None:
    def spread(count: int) -> float:
        trials = training(model, np.ones(len(model.candidates.names)), count, 0.05)
        logs = [np.log(model.sample(trials, np.random.default_rng(s)).weighted_errors[:, 0]) for s in range(12)]
        return float(np.std([log - log.mean() for log in logs], axis=0).mean())

    assert spread(120) < 0.7 * spread(4)


@pytest.mark.parametrize("values", [[0.5, 0.5, 0.5], [0.0, 1.0, 1.0]])
def test_values_without_order_do_no_harm(model: Sensitivity, values: list[float]) -> None:
    trials = training(model, np.ones(len(model.candidates.names)), 3)
    sample = model.sample(replace(trials, values=np.array(values)), np.random.default_rng(0))
    assert np.isfinite(sample.predict(trials.choices)).all()
