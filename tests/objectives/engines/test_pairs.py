"""Pairs of runs: medians of made-up times, and a machine that slows down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rankfront.objectives.engines.pairs import LEAST_PAIRS, LONGER, MOST_PAIRS, measure_pairs


class Machine:
    """A clock that runs only while something runs, slower and slower."""

    def __init__(self, slower: float = 1.0) -> None:
        self.now, self.slower, self.factor = 0.0, slower, 1.0
        self.ran: list[str] = []

    def running(self, name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.ran.append(name)
            self.now += seconds * self.factor
            self.factor *= self.slower

        return run


@pytest.mark.parametrize("slower", [1.0, 1.01, 0.99])
def test_the_speedup_is_the_ratio_whatever_slows_both(slower: float) -> None:
    machine = Machine(slower)
    found = measure_pairs(machine.running("a", 0.3), machine.running("b", 0.1), clock=lambda: machine.now)
    assert found.speedup == pytest.approx(3.0, rel=0.02)
    assert found.low <= found.speedup <= found.high


def test_each_is_first_every_other_time() -> None:
    machine = Machine()
    found = measure_pairs(machine.running("a", 1.0), machine.running("b", 1.0), clock=lambda: machine.now)
    counted = machine.ran[-2 * found.count :]
    pairs = list(zip(counted[::2], counted[1::2], strict=True))
    assert pairs == [("a", "b"), ("b", "a")] * (len(pairs) // 2)
    assert found.speedup == 1.0


def test_what_is_quick_runs_often_and_what_is_slow_a_few_times() -> None:
    counts = []
    for seconds in (1e-4, 0.05, 10.0):
        machine = Machine()
        found = measure_pairs(
            machine.running("a", seconds), machine.running("b", seconds), clock=lambda m=machine: m.now
        )
        counts.append(found.count)
    assert counts[0] == MOST_PAIRS and counts[1] == pytest.approx(40, abs=1) and counts[2] == LEAST_PAIRS


def test_the_quartiles_tell_how_unsure_it_is() -> None:
    machine, runs = Machine(), iter(range(10**6))

    def other() -> None:
        machine.running("b", (0.7, 0.7, 1.4, 1.4)[next(runs) % 4])()

    found = measure_pairs(machine.running("a", 1.0), other, clock=lambda: machine.now)
    assert found.low < 1 < found.high


def test_where_it_is_noisy_there_are_more_repeats() -> None:
    """Disturbed at first, then not: the later pairs decide."""
    machine, runs = Machine(), iter(range(10**6))

    def other() -> None:
        disturbed = next(runs) < 2 * MOST_PAIRS // 3
        machine.running("b", 4e-4 if disturbed else 1e-4)()

    found = measure_pairs(machine.running("a", 2e-4), other, clock=lambda: machine.now)
    assert found.count == LONGER * MOST_PAIRS
    assert found.low == found.speedup == found.high == pytest.approx(2.0)
