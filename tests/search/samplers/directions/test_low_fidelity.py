"""What scores before fine-tuning say about the scores after it, and where they say nothing."""

import numpy as np
import pytest

from rankfront.search.samplers.directions.low_fidelity import PRIOR_GAIN, PRIOR_SLOPE, LowFidelity


def trials(gain: float, count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What was predicted, and values before and after fine-tuning; ``gain`` of a residual before remains after."""
    rng = np.random.default_rng(0)
    predicted, residual = rng.normal(2, 1, count), rng.normal(0, 0.5, count)
    return predicted, 0.7 * predicted - 1 + residual, predicted + gain * residual + rng.normal(0, 0.05, count)


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0])
def test_learns_how_much_of_a_residual_remains(gain: float) -> None:
    predicted, before, values = trials(gain)
    link = LowFidelity.fitted(predicted, before, values)
    assert (link.slope, link.gain) == (pytest.approx(0.7, abs=0.1), pytest.approx(gain, abs=0.1))
    assert np.abs(predicted + link.correction(predicted, before) - values).mean() < 0.06 + 0.05 * gain


def test_a_single_trial_gives_the_level_alone() -> None:
    link = LowFidelity.fitted(np.array([1.0]), np.array([0.2]), np.array([1.1]))
    assert (link.slope, link.gain) == (PRIOR_SLOPE, PRIOR_GAIN)
    assert link.correction(np.array([1.0, 1.0]), np.array([0.2, 0.6])) == pytest.approx([0.0, PRIOR_GAIN * 0.4])


def test_without_trials_the_level_is_that_of_the_plans() -> None:
    link = LowFidelity.prior(np.array([1.0, 1.0, 1.0]), np.array([0.0, 1.0, np.nan]))
    expected = [-0.5 * PRIOR_GAIN, 0.5 * PRIOR_GAIN]
    assert link.correction(np.array([1.0, 1.0]), np.array([0.0, 1.0])) == pytest.approx(expected)
