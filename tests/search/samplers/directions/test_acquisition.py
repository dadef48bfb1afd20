"""The expected hypervolume improvement against its definition, by sampling."""

import numpy as np
import pytest

from rankfront.search.samplers.directions.acquisition import expected_hypervolume_improvement
from tests.search.toys import hypervolume

FRACTIONS, SCORES, WORST = np.array([0.1, 0.3, 0.8]), np.array([0.2, 0.5, 0.6]), 0.1
"""A front of scores; the acquisition minimises their negatives."""


@pytest.mark.parametrize(("fraction", "mean"), [(0.05, 0.1), (0.2, 0.3), (0.3, 0.5), (0.5, 0.9), (0.95, 0.4)])
@pytest.mark.parametrize("std", [0.02, 0.3])
def test_it_is_the_mean_gain_in_area_of_sampled_scores(fraction: float, mean: float, std: float) -> None:
    (found,) = expected_hypervolume_improvement(
        (FRACTIONS, -SCORES), -WORST, np.array([fraction]), -np.array([mean]), np.array([std])
    )
    now = hypervolume(FRACTIONS, SCORES, WORST)
    drawn = mean + std * np.random.default_rng(0).standard_normal(4000)
    gains = [hypervolume(np.append(FRACTIONS, fraction), np.append(SCORES, one), WORST) - now for one in drawn]
    assert found == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / np.sqrt(4000) + 1e-12)


def test_without_uncertainty_it_is_the_gain_itself() -> None:
    found = expected_hypervolume_improvement(
        (FRACTIONS, -SCORES), -WORST, np.array([0.2, 0.2, 0.5]), -np.array([0.4, 0.2, 0.5]), np.zeros(3)
    )
    assert found == pytest.approx([0.1 * 0.2, 0.0, 0.0], abs=1e-7)
