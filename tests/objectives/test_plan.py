import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfront import DENSE, Choice, Plan, RankfrontError

choices = st.one_of(st.just(DENSE), st.builds(Choice, st.sampled_from(["svd", "tt"]), st.integers(1, 4096)))
plans = st.dictionaries(st.text(), choices).map(Plan)


@given(plans)
def test_survives_json(plan: Plan) -> None:
    again = Plan.from_json(json.dumps(plan.to_json()))
    assert again == plan
    assert hash(again) == hash(plan)
    assert list(again) == list(plan)


def test_order_of_layers_does_not_matter_to_equality() -> None:
    a, b = Plan({"x": DENSE, "y": Choice("svd", 2)}), Plan({"y": Choice("svd", 2), "x": DENSE})
    assert a == b and hash(a) == hash(b)
    assert a != Plan({"x": DENSE})


def test_is_immutable() -> None:
    source = {"x": DENSE}
    plan = Plan(source)
    source["x"] = Choice("svd", 1)
    assert plan["x"] == DENSE
    with pytest.raises(TypeError):
        plan["x"] = DENSE  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{",
        '{"a": 3}',
        '{"a": {}}',
        '{"a": {"kind": "svd"}}',
        '{"a": {"kind": "svd", "rank": 0}}',
        '{"a": {"kind": "svd", "rank": true}}',
        '{"a": {"kind": "svd", "rank": 1.5}}',
        '{"a": {"kind": "dense", "rank": 2}}',
        '{"a": {"kind": 1, "rank": 2}}',
        "[" * 100_000,
    ],
)
def test_refuses_what_is_no_plan(text: str) -> None:
    with pytest.raises(RankfrontError, match="plan"):
        Plan.from_json(text)


@given(st.text())
def test_any_text_is_a_plan_or_an_error_of_ours(text: str) -> None:
    try:
        Plan.from_json(text)
    except RankfrontError as error:
        assert "plan" in str(error)
