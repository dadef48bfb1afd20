"""Ratios of measured to predicted change, and how often they are measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfront.objectives.calibration.response import ERRORS, SAMPLES, Response, tries

POINTS = st.dictionaries(st.floats(1e-6, 1.0), st.floats(1e-2, 1e2), min_size=1, max_size=4)


@given(POINTS, st.floats(0, 1e3))
def test_a_ratio_is_met_where_it_was_measured_and_between_its_neighbours_elsewhere(
    points: dict[float, float], error: float
) -> None:
    errors = sorted(points)
    response = Response(tuple(errors), tuple(points[e] for e in errors))
    assert response.ratio(np.array(errors)) == pytest.approx([points[e] for e in errors])
    below = [points[e] for e in errors if e <= error][-1:] or [points[errors[0]]]
    above = [points[e] for e in errors if e >= error][:1] or [points[errors[-1]]]
    least, most = sorted((*below, *above))
    assert least * (1 - 1e-9) <= float(response.ratio(np.array(error))) <= most * (1 + 1e-9)


@given(st.integers(1, 1000), st.integers(0, 10**5))
def test_what_is_tried_is_affordable_or_the_least_there_is(layers: int, passes: int) -> None:
    errors, samples = tries(layers, passes)
    assert set(errors) <= set(ERRORS) and 1 <= samples <= SAMPLES
    assert len(errors) * layers * samples <= passes or (len(errors), samples) == (1, 1)
