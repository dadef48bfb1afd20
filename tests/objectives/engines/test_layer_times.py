"""Predicted times: exact where a pass is the sum of its layers, in an engine whose times are known."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rankfront import DENSE, Plan, RankfrontError, Task
from rankfront.objectives.engines.engine import Runner
from rankfront.objectives.engines.kind_factors import with_factors
from rankfront.objectives.engines.layer_times import LayerMeter, calls_of
from rankfront.objectives.engines.registry import ENGINES, QUICK
from rankfront.objectives.metrics.latency_table import LatencyTable, PredictedLatency, Step
from rankfront.objectives.metrics.params import count_params
from rankfront.objectives.objective import Objective
from rankfront.objectives.plan import Choice
from tests.fake_engine import FIXED, FakeEngine, by_flops, in_steps, installed
from tests.objectives.preparing import CPU


def linears(*widths: int) -> nn.Module:
    return nn.Sequential(*(part for n, m in pairwise(widths) for part in (nn.Linear(n, m), nn.ReLU())))


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 36, 4)
    )


class Twice(nn.Module):
    """One layer that is called twice, on inputs of two shapes; one of the same shape as another."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.same = nn.Linear(12, 12), nn.Linear(12, 12)
        self.last = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(x).relu()
        pairs = self.shared(torch.stack([x, x], 1)).mean(1)
        return self.last(self.same(pairs.relu()))


CASES: dict[str, tuple[Callable[[], nn.Module], Sequence[int]]] = {
    "convolutions": (convolutions, (3, 8, 8)),
    "linears": (
        lambda: nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 4)),
        (12,),
    ),
    "wide": (
        lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 4)),
        (64,),
    ),
    "one layer twice": (Twice, (12,)),
}


@functools.cache
def prepared(case: str) -> tuple[Objective, Tensor]:
    torch.manual_seed(0)
    make, shape = CASES[case]
    x = torch.randn(64, *shape)
    net = make().eval()
    y = net(x).argmax(1)
    objective = Objective(Task(net, (x, y), (x, y), calibration=32, sensitivity="none", name="t"), device=CPU)
    objective.prepare()
    return objective, x


def table_of(objective: Objective, engine: FakeEngine, inputs: Tensor) -> LatencyTable:
    dense = engine.seconds(objective.dense, inputs)
    calls = calls_of(objective.dense, objective.layers, inputs)
    numbers = count_params(objective.dense)
    network = engine.runner(objective.dense, inputs, 1)
    meter = LayerMeter(engine, 1, network, dense, objective.decompositions, numbers, calls)
    return meter.table(dense, lambda *_: None)


def plans(objective: Objective, count: int = 12) -> list[Plan]:
    rng = np.random.default_rng(0)
    options = objective.decompositions.options
    return [Plan({name: some[rng.integers(len(some))] for name, some in options.items()}) for _ in range(count)]


@pytest.mark.parametrize("case", ["convolutions", "linears", "wide", "one layer twice"])
def test_times_that_add_up_are_predicted_to_the_nanosecond(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = installed(monkeypatch, FakeEngine(by_flops))
    objective, x = prepared(case)
    table = table_of(objective, engine, x[:1])
    predicted = PredictedLatency(table, objective.by_name)
    assert predicted.of(Plan(dict.fromkeys(objective.by_name, DENSE))) == table.dense
    for plan in plans(objective):
        flops = objective.costs.of(plan)["flops"]
        assert predicted.of(plan) == pytest.approx(1e9 * FIXED + flops, abs=2 * len(plan))


def test_what_is_called_twice_counts_twice_and_equal_shapes_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = installed(monkeypatch, FakeEngine(by_flops))
    objective, x = prepared("one layer twice")
    table = table_of(objective, engine, x[:5])
    dense = {name: table.shapes[table.layers[name]].dense for name in ("shared", "same")}
    # 5 rows and 10 rows against 5; what a pass takes beside the layer, its neighbours included, is the same in both.
    beside = FIXED * 1e9 + 5 * 2 * (4 * 12 + 12 * 4)
    assert dense["same"] == beside + 5 * 2 * 12 * 12
    assert dense["shared"] == 3 * beside - FIXED * 1e9 + 15 * 2 * 12 * 12
    calls = calls_of(objective.dense, objective.layers, x[:5])
    assert dict(calls["shared"]) == {torch.Size((5, 12)): 1, torch.Size((5, 2, 12)): 1}
    assert dict(calls["same"]) == {torch.Size((5, 12)): 1}


@pytest.mark.parametrize(("step", "found"), [(16, 16), (8, 8), (1, 1)])
def test_ranks_take_what_the_next_step_takes_where_there_are_steps(
    step: int, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = installed(monkeypatch, FakeEngine(in_steps(step)))
    objective, x = prepared("wide")
    table = table_of(objective, engine, x[:1])
    layer = objective.by_name["0"]
    assert table.shapes[table.layers["0"]].kinds["svd"].step == Step(found)
    for rank in (5, 17, 23, 32, 36):
        predicted = table.change(layer, Choice("svd", rank))
        above = -(-rank // step) * step
        assert predicted == pytest.approx((64 + 128) * above - 64 * 128, abs=2)


def test_a_rank_between_multiples_takes_what_it_was_measured_to_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_step(model: nn.Module, inputs: Any) -> float:
        ranks = [m.out_features for m in model.modules() if isinstance(m, nn.Linear)]
        return by_flops(model, inputs) * (1.25 if any(rank % 4 for rank in ranks) else 1.0)

    engine = installed(monkeypatch, FakeEngine(off_step))
    objective, x = prepared("wide")
    table = table_of(objective, engine, x[:1])
    layer, times = objective.by_name["0"], table.shapes[table.layers["0"]].kinds["svd"]
    assert times.step.size == 4 and 1.1 < times.step.off < 1.25  # less rank is less work, too
    on, off = times.at(layer, Choice("svd", 32)), times.at(layer, Choice("svd", 31))
    assert off == pytest.approx(times.step.off * on, abs=2)


def test_a_machine_that_slows_down_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, x = prepared("wide")
    tables = []
    for slower in (0.0, 1e-4):
        engine = installed(monkeypatch, FakeEngine(by_flops, slower=slower))
        tables.append(table_of(objective, engine, x[:1]))
    assert engine.slower * engine.runs > 0.3
    steady, slowing = (
        [ns / shape.dense for shape in table.shapes for times in shape.kinds.values() for ns in times.ns]
        for table in tables
    )
    assert slowing == pytest.approx(steady, rel=0.05)
    assert [shape.dense for shape in tables[1].shapes] == pytest.approx([s.dense for s in tables[0].shapes], rel=0.05)


def test_a_whole_network_tells_what_a_kind_takes_longer_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Identity blocks cost more within a network: here each of its layers takes half as long again."""
    engine = installed(monkeypatch, FakeEngine(by_flops))
    objective, x = prepared("linears")
    table = table_of(objective, engine, x[:1])

    def added(plan: Plan) -> float | None:
        kinds = {choice.kind for choice in plan.values()} - {"dense"}
        if kinds == {"tt"}:
            return None
        longer = 1.5 if kinds == {"svd-identity"} else 1.0
        alone = sum(
            longer * (table.change(objective.by_name[name], choice) + table.shapes[table.layers[name]].dense)
            - table.shapes[table.layers[name]].dense
            for name, choice in plan.items()
            if choice != DENSE
        )
        return alone / table.start

    factors = with_factors(table, objective.decompositions, added).factors
    assert factors["svd"] == pytest.approx(1.0, abs=1e-3)
    assert factors["svd-identity"] == pytest.approx(1.5, abs=1e-3)
    assert "tt" not in factors


def test_a_table_is_the_same_when_it_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = installed(monkeypatch, FakeEngine(by_flops))
    objective, x = prepared("linears")
    table = table_of(objective, engine, x[:1])
    plain = table.plain()
    assert LatencyTable.read(json.loads(json.dumps(plain))).plain() == plain
    for shape in plain["shapes"]:
        for times in shape["kinds"].values():
            times["step"], _ = times["step"]  # as studies had it before
    assert LatencyTable.read(plain).plain() == table.plain()


@pytest.mark.parametrize("engine", QUICK)
def test_many_small_networks_give_what_each_gives(engine: str) -> None:
    pytest.importorskip(engine if engine != "eager" else "torch")
    modules = [nn.Linear(6, 3), nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()), nn.Linear(6, 5, bias=False)]
    inputs = [torch.randn(2, 6), torch.randn(1, 2, 5, 5), torch.randn(2, 6)]
    runners: list[Runner] = ENGINES[engine].runners([m.eval() for m in modules], inputs, 1)
    for module, given, run in zip(modules, inputs, runners, strict=True):
        (output,) = run()
        assert torch.allclose(output, module(given), atol=1e-5)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_one_of_many_that_cannot_be_written_is_told(engine: str) -> None:
    pytest.importorskip(engine)

    class Chosen(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(RankfrontError, match="cannot be written as ONNX"):
        ENGINES[engine].runners([nn.Linear(3, 3), Chosen()], [torch.ones(1, 3)] * 2, 1)
