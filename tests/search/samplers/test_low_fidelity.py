"""What untrained scores foretell, and where they foretell nothing."""

import numpy as np
import pytest

from rankfront.search.samplers.directions.low_fidelity import GAIN, SLOPE, LowFidelity


def trials(worth: float, count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What was expected, and scores before and after, of which ``worth`` of a surprise before stays."""
    rng = np.random.default_rng(0)
    expected, surprise = rng.normal(2, 1, count), rng.normal(0, 0.5, count)
    return expected, 0.7 * expected - 1 + surprise, expected + worth * surprise + rng.normal(0, 0.05, count)


@pytest.mark.parametrize("worth", [0.0, 0.5, 1.0])
def test_learns_what_a_surprise_is_worth(worth: float) -> None:
    expected, untrained, scores = trials(worth)
    told = LowFidelity.of(expected, untrained, scores)
    assert (told.slope, told.gain) == (pytest.approx(0.7, abs=0.1), pytest.approx(worth, abs=0.1))
    assert np.abs(expected + told.beyond(expected, untrained) - scores).mean() < 0.06 + 0.05 * worth


def test_a_single_trial_tells_but_the_level() -> None:
    told = LowFidelity.of(np.array([1.0]), np.array([0.2]), np.array([1.1]))
    assert (told.slope, told.gain) == (SLOPE, GAIN)
    assert told.beyond(np.array([1.0, 1.0]), np.array([0.2, 0.6])) == pytest.approx([0.0, GAIN * 0.4])


def test_without_trials_the_level_is_that_of_the_plans() -> None:
    told = LowFidelity.new(np.array([1.0, 1.0, 1.0]), np.array([0.0, 1.0, np.nan]))
    assert told.beyond(np.array([1.0, 1.0]), np.array([0.0, 1.0])) == pytest.approx([-0.5 * GAIN, 0.5 * GAIN])
