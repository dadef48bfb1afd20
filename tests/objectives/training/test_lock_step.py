"""Runs meet at every point, in a fixed order, and whatever one of them raises ends them all."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfront.objectives.training.lock_step import LockStep


def passes(paths: list[str]) -> list[str]:
    """Return what happens when runs come to these points, in order: arrivals as 0A, meetings as A."""
    happened: list[str] = []
    steps = LockStep(happened.append)

    def body(number: int, path: str) -> Callable[[], None]:
        def run() -> None:
            for point in path:
                happened.append(f"{number}{point}")
                assert steps.running == number
                steps.wait(point)

        return run

    steps([body(number, path) for number, path in enumerate(paths)])
    return happened


def test_a_point_is_met_when_all_have_come_to_it() -> None:
    assert passes(["AB", "AB"]) == ["0A", "1A", "A", "0B", "1B", "B"]
    assert passes(["AB"]) == ["0A", "A", "0B", "B"]


def test_runs_that_go_other_ways_do_not_wait_for_ever() -> None:
    assert passes(["AC", "BC", ""]) == ["0A", "1B", "A", "0C", "B", "1C", "C"]


@given(st.lists(st.text("ABC", max_size=4), min_size=1, max_size=4))
def test_every_point_is_met_once_and_after_an_arrival(paths: list[str]) -> None:
    happened = passes(paths)
    met = [what for what in happened if len(what) == 1]
    assert sorted(met) == sorted(set("".join(paths)))
    for number, path in enumerate(paths):
        assert [what[1] for what in happened if what[0] == str(number)] == list(path)
    for point in met:
        assert any(what[1:] == point for what in happened[: happened.index(point)])
    assert passes(paths) == happened


def test_an_error_is_raised_and_no_thread_is_left() -> None:
    before = threading.active_count()
    steps = LockStep(lambda point: None)

    def waits() -> None:
        steps.wait("A")
        raise AssertionError("given up before")

    def fails() -> None:
        raise ValueError("the model refuses this batch")

    with pytest.raises(ValueError, match="the model refuses"):
        steps([waits, fails])
    assert threading.active_count() == before
