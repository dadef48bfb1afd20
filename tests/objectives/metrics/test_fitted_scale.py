"""The scale that values are fitted on: log odds of proportions, other scores as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from rankfront.objectives.metrics.fitted_scale import FittedScale
from rankfront.objectives.metrics.scale import ACCURACY, Scale

ERROR_RATE = Scale("error_rate", higher_is_better=False, proportion=True)
SCALES = [ACCURACY, ERROR_RATE, Scale("score"), Scale("loss", higher_is_better=False)]
counts = st.tuples(st.integers(1, 5000), st.integers(0, 5000)).map(lambda pair: (pair[0], min(pair)))


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
@given(counts)
def test_there_and_back_again_and_always_finite(scale: Scale, count: tuple[int, int]) -> None:
    samples, right = count
    fitted_scale = FittedScale.of(scale, samples)
    value = np.array([scale.minimised(right / samples)])
    fitted, errors = fitted_scale.fitted(value)
    assert np.isfinite([*fitted, *errors]).all()
    assert fitted_scale.values(fitted, 0.0)[0] == pytest.approx(value, abs=1e-9)


@given(counts)
def test_an_accuracy_and_its_error_rate_are_fitted_to_the_same(count: tuple[int, int]) -> None:
    samples, right = count
    of_accuracy = FittedScale.of(ACCURACY, samples).fitted(np.array([-right / samples]))
    of_errors = FittedScale.of(ERROR_RATE, samples).fitted(np.array([1 - right / samples]))
    assert np.allclose(of_accuracy, of_errors)


def test_it_is_scipys_log_odds_and_less_is_better() -> None:
    fitted, _ = FittedScale.of(ACCURACY, 10**9).fitted(np.array([-0.9, -0.95]))
    assert fitted == pytest.approx(-logit([0.9, 0.95]), rel=1e-6)
    assert fitted[1] < fitted[0]


def test_the_standard_error_is_that_of_sampled_proportions() -> None:
    samples, share = 2000, 0.85
    drawn = np.random.default_rng(0).binomial(samples, share, 4000) / samples
    fitted, errors = FittedScale.of(ACCURACY, samples).fitted(-drawn)
    assert errors.mean() == pytest.approx(fitted.std(), rel=0.05)
