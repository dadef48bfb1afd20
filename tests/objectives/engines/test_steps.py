"""Steps in what ranks take are found from the times, and only where they are there."""

from __future__ import annotations

import numpy as np
import pytest

from rankfront.objectives.engines.steps import PROBED, STEPS, probed_ranks, step_of
from rankfront.objectives.metrics.latency_table import Step

RANKS = range(33, 33 + PROBED)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_step_is_found(step: int, noise: float) -> None:
    rng = np.random.default_rng(step)
    times = {rank: (10 + -(-rank // step) * step) * (1 + noise * rng.random()) for rank in RANKS}
    found = step_of(times)
    assert found.size == step and found.off == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_where_there_is_none_none_is_found(noise: float, slope: float) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert step_of({rank: (10 + slope * rank) * (1 + noise * rng.random()) for rank in RANKS}) == Step()


def test_as_onnx_runtime_was_seen_to_do() -> None:
    """Microseconds of a 3×1 and a 1×3 convolution of 64 channels at 28×28, 2026-11-30, one thread of a busy Xeon."""
    seen = {17: 167, 20: 184, 24: 183, 28: 184, 31: 207, 32: 182, 33: 255, 40: 252, 48: 253}
    assert step_of({rank: float(us) for rank, us in seen.items()}).size == 16


@pytest.mark.parametrize(("step", "off"), [(4, 1.3), (8, 1.2), (16, 1.5)])
@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_ranks_that_take_longer_than_the_next_multiple(step: int, off: float, noise: float, slope: float) -> None:
    rng = np.random.default_rng(step)
    times = {
        rank: (20 + slope * -(-rank // step) * step) * (off if rank % step else 1) * (1 + noise * rng.random())
        for rank in RANKS
    }
    found = step_of(times)
    assert found.size == step and found.off == pytest.approx(off, abs=0.03)


def test_too_few_ranks_are_not_probed() -> None:
    assert probed_ranks(range(1, 20)) == []
    assert probed_ranks([rank for rank in range(1, 65) if rank != 40]) == list(range(1, 33))
