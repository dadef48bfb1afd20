from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfront import Metrics, RankfrontError
from rankfront.search.space.budget import Budget, check_possible

DENSE = Metrics(params=1_000_000, flops=8_000_000, bytes=4_000_000)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("params=5%", {"params": 50_000}),
        ("params=0.5%", {"params": 5_000}),
        (" flops = 30 % ", {"flops": 2_400_000}),
        ("params=200K", {"params": 200_000}),
        ("flops=1.5M", {"flops": 1_500_000}),
        ("bytes=200KB", {"bytes": 200_000}),
        ("bytes=2KiB", {"bytes": 2_048}),
        ("params=5%,bytes=1MB", {"params": 50_000, "bytes": 1_000_000}),
        (["params=5%", "flops=30%"], {"params": 50_000, "flops": 2_400_000}),
        ("params=2%..5%", {"params": 50_000}),
        ("bytes = 1KB .. 5 %", {"bytes": 200_000}),
        ("params=.5%...6%", {"params": 6_000}),
        ([], {}),
        ("none", {}),
        (["none"], {}),
        (Budget(), {}),
        (Budget.of("params=5%"), {"params": 50_000}),
    ],
)
def test_reads(text: str | list[str] | Budget, limits: dict[str, float]) -> None:
    assert Budget.of(text).limits(DENSE) == pytest.approx(limits)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must read METRIC=AMOUNT"),
        ("params", "must read METRIC=AMOUNT"),
        ("params=-5%", "must be an amount in digits and its unit .params=5% .* without sign or .*but got '-5%'"),
        ("params=5", "must carry % or one of K, M, G, T .* has no unit"),
        ("params=5KB", "has unit 'KB'"),
        ("bytes=5", "has no unit"),
        ("speed=5%", "one of params, flops, bytes, latency or score, but got 'speed'"),
        ("latency=5", "must carry % or one of s, ms, us .* has no unit"),
        ("latency=5ns", "has unit 'ns'"),
        ("latency@=5%", "engine must be one of"),
        ("latency@openvin=5%", "did you mean openvino"),
        ("params@openvino=5%", "may name an engine for latency alone"),
        ("latency=5%,latency@eager=6%", "bounds latency 2 times"),
        ("params=0%", "must be positive"),
        ("params=101%", "at most 100%"),
        ("params=5%..", "or LEAST..MOST, but got '5%..'"),
        ("params=", "must read METRIC=AMOUNT"),
        ("=5%", "must read METRIC=AMOUNT"),
        ("params=1e3", "without sign or exponent, .* but got '1e3'"),
        ("param=5%", "but got 'param': did you mean params"),
        ("flop=1e3", "but got 'flop': did you mean flops"),
        ("acuracy=99%", "but got 'acuracy': did you mean accuracy"),
        ("params=1..5%", "must carry % or one of K, M, G, T .* has no unit"),
        ("params=0%..5%", "must be positive"),
        ("params=5,0%", r"numbers without a comma, decimals with a point \(params=2.5%\), but got 'params=5,0%'"),
        ("bytes=2,5MB", "without a comma"),
        ("params=60%..62,5%,bytes=1MB", "without a comma"),
        ("score=0,9", "without a comma"),
        ("score=90%..99%", "on the score must be one amount"),
        ("params=5%,params=6%", "bounds params 2 times"),
        ("params=1e5K", "without sign or exponent"),
        ("none,params=5%", "must be none or bounds, but got both: 'none,params=5%'"),
        (["none", "none"], "must be none or bounds"),
        (None, "must be text such as params=5%"),
        ([5], "must be text such as params=5%"),
    ],
)
def test_refuses(text: Any, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        Budget.of(text)


@pytest.mark.parametrize(
    ("text", "limit", "engine"),
    [
        ("latency=60%", 1_800_000, None),
        ("latency=2ms", 2_000_000, None),
        ("latency = 1500 us", 1_500_000, None),
        ("latency@eager=.001S", 1_000_000, "eager"),
        ("latency@openvino = 10%", 300_000, "openvino"),
    ],
)
def test_reads_latencies_in_nanoseconds(text: str, limit: float, engine: str | None) -> None:
    budget = Budget.of(["params=50%", text])
    assert budget.limits(Metrics({**DENSE, "latency": 3_000_000}))["latency"] == pytest.approx(limit)
    assert budget.engine == engine
    assert [bound.metric for bound in budget.on(("latency",)).bounds] == ["latency"]
    assert budget.on(DENSE).limits(DENSE) == Budget.of("params=50%").limits(DENSE)
    assert "@" not in str(budget) and str(Budget.of(str(budget))) == str(budget)


@given(st.text(max_size=40))
def test_any_text_is_a_budget_or_an_error_of_ours(text: str) -> None:
    try:
        budget = Budget.of(text)
    except RankfrontError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
    else:
        assert Budget.of(str(budget)) == budget
        assert all(limit > 0 for limit in budget.limits(DENSE).values())


def test_an_impossible_budget_names_the_smallest_possible() -> None:
    smallest = Metrics(params=20_000, flops=100_000, bytes=90_000)
    check_possible(Budget.of("params=2%"), DENSE, smallest)
    with pytest.raises(RankfrontError, match=r"at least 20,000 \(2.00% of the dense model's 1,000,000\).* 10,000"):
        check_possible(Budget.of("params=1%"), DENSE, smallest)


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("params=2%..5%", {"params": 20_000}),
        ("params=10K..5%,flops=30%", {"params": 10_000}),
        ("params=60%", {}),
        ("none", {}),
    ],
)
def test_says_how_far_down_the_front_goes(text: str, least: dict[str, float]) -> None:
    assert Budget.of(text).down_to(DENSE) == pytest.approx(least)
    assert Budget.of(str(Budget.of(text))) == Budget.of(text)


@pytest.mark.parametrize("text", ["params=5%..5%", "params=6%..5%", "params=60K..5%"])
def test_refuses_a_range_upside_down(text: str) -> None:
    with pytest.raises(RankfrontError, match=r"must read LEAST\.\.MOST"):
        Budget.of(text).down_to(DENSE)
