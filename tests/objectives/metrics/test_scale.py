"""How scores read: shown, sure, compared."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfront import RankfrontError
from rankfront.objectives.metrics.scale import ACCURACY, Scale

PERPLEXITY = Scale("perplexity", higher_is_better=False, form=".1f")


@given(st.integers(1, 2000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.999]))
def test_wilsons_interval_by_its_formula(samples: int, share: float, confidence: float) -> None:
    from scipy.special import ndtri

    p, z = round(share * samples) / samples, ndtri(0.5 + confidence / 2)
    centre = (p + z * z / (2 * samples)) / (1 + z * z / samples)
    half = z / (1 + z * z / samples) * math.sqrt(p * (1 - p) / samples + z * z / (4 * samples**2))
    found = ACCURACY.interval(p, samples, confidence)
    assert found == pytest.approx((max(0.0, centre - half), min(1.0, centre + half)), abs=1e-9)


def test_only_proportions_have_intervals() -> None:
    assert PERPLEXITY.interval(12.0, 100) is None
    assert ACCURACY.interval(None, 100) is None and ACCURACY.interval(math.nan, 100) is None
    assert ACCURACY.interval(0.5, 0) is None


def test_shown_in_its_form() -> None:
    assert (PERPLEXITY.show(41.53), PERPLEXITY.show(None), PERPLEXITY.show(math.nan)) == ("41.5", "–", "–")
    assert ACCURACY.show(0.98765) == "98.77 %"


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_what_is_better_is_less_when_minimised(one: float, other: float) -> None:
    assert (ACCURACY.minimised(one) < ACCURACY.minimised(other)) == (one > other)
    assert (PERPLEXITY.minimised(one) < PERPLEXITY.minimised(other)) == (one < other)
    assert ACCURACY.minimised(ACCURACY.minimised(one)) == one


@pytest.mark.parametrize("scale", [ACCURACY, PERPLEXITY])
def test_survives_being_stored(scale: Scale) -> None:
    assert Scale.read(scale.plain()) == scale


def test_studies_that_stored_a_name_alone() -> None:
    assert Scale.of_old_study("accuracy") == ACCURACY
    assert Scale.of_old_study("score") == Scale("score")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "top 5"}, "must be made of letters, digits and underscores, but got 'top 5'"),
        ({"name": "x", "form": "q"}, "form must format a number, such as .4g, but got 'q'"),
        ({"name": 5}, "name must be text, but got 5"),
        ({"name": None}, "name must be text, but got None"),
        ({"name": "x", "form": 3}, "form must be text, but got 3"),
        ({"name": "x", "higher_is_better": "no"}, "higher_is_better must be True or False, but got 'no'"),
        ({"name": "x", "higher_is_better": None}, "higher_is_better must be True or False, but got None"),
        ({"name": "x", "proportion": 1}, "proportion must be True or False, but got 1"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], said: str) -> None:
    for make in (lambda: Scale(**options), lambda: Scale.read(options)):
        with pytest.raises(RankfrontError, match=said):
            make()
    with pytest.raises(RankfrontError, match="must have the fields of a Scale"):
        Scale.read({"name": "x", "colour": "red"})


def test_equal_up_to_rounding_errors() -> None:
    assert PERPLEXITY.equal(10.0, 10.00001) and not PERPLEXITY.equal(10.0, 10.001)
    assert ACCURACY.equal(0.9, 0.9) and not ACCURACY.equal(0.9, 0.900001)


def test_agrees_within_its_interval_or_a_thousandth() -> None:
    assert ACCURACY.agrees(0.90, 0.91, 500) and not ACCURACY.agrees(0.80, 0.91, 500)
    assert PERPLEXITY.agrees(10.0, 10.005, 500) and not PERPLEXITY.agrees(10.0, 10.1, 500)
