"""Torch's schedulers give the rates of the formulas, and a run that goes on has the rates it would have had."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankfront.objectives.training.schedule import Schedule, schedule


def optimizer(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)


def rates(kind: Schedule, lr: float, steps: int, warmup: float, done: int = 0) -> list[float]:
    made = optimizer(lr)
    scheduler = schedule(made, kind, steps, warmup=warmup, done=done)
    found = []
    for _ in range(done, steps):
        found.append(made.param_groups[0]["lr"])
        made.step()
        scheduler.step()
    return found


def expected(kind: Schedule, lr: float, step: int, steps: int, warmup: float) -> float:
    if kind == "constant":
        return lr
    rising = max(1, round(warmup * steps)) if kind == "warm cosine" else 0
    if step < rising:
        return lr * (step + 1) / rising
    return lr * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


@settings(max_examples=80)
@given(
    st.sampled_from(["constant", "cosine", "warm cosine"]), st.floats(1e-5, 1), st.integers(1, 400), st.floats(0, 0.99)
)
def test_rates_are_those_of_the_formula(kind: Schedule, lr: float, steps: int, warmup: float) -> None:
    formula = [expected(kind, lr, step, steps, warmup) for step in range(steps)]
    assert rates(kind, lr, steps, warmup) == pytest.approx(formula, rel=0, abs=1e-12)


def test_a_long_run_does_not_drift() -> None:
    formula = [expected("warm cosine", 1.0, step, 20000, 0.1) for step in range(20000)]
    assert rates("warm cosine", 1.0, 20000, 0.1) == pytest.approx(formula, rel=0, abs=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["constant", "cosine", "warm cosine"])
@pytest.mark.parametrize("done", [0, 1, 9, 10, 11, 57, 99])
def test_a_run_that_goes_on_has_the_same_rates(kind: Schedule, done: int) -> None:
    assert rates(kind, 0.1, 100, 0.1, done) == rates(kind, 0.1, 100, 0.1)[done:]
