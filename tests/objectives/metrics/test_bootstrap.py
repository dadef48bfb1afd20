"""Sums over blocks, and intervals drawn from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfront.objectives.metrics.bootstrap import LEAST, MOST, Blocks


def mean(sums: dict[str, torch.Tensor]) -> float:
    return float(sums["sum"] / sums["count"])


@given(st.integers(1, 700))
def test_nothing_is_lost_and_no_more_than_twice_the_most_are_kept(pieces: int) -> None:
    blocks, seen = Blocks(), []
    for i in range(pieces):
        blocks.add({"sum": torch.tensor([float(i), 1.0]), "count": torch.tensor(1)})

    def note(sums: dict[str, torch.Tensor]) -> float:
        seen.append(int(sums["count"]))
        return 0.0

    found = blocks.interval(note, 0.95)
    assert (found is None) == (pieces < LEAST)
    if seen:
        assert np.mean(seen) == pytest.approx(pieces, rel=0.05)
        assert len(blocks._sums["count"]) == 2 * MOST
        assert float(blocks._sums["sum"].sum()) == pieces * (pieces - 1) / 2 + pieces


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(60):
        blocks = Blocks()
        for part in torch.randn(40, 25, generator=generator):
            blocks.add({"sum": part.sum(), "count": torch.tensor(25.0)})
        low, high = blocks.interval(mean, 0.95) or (1, 0)
        covered += low <= 0 <= high
    assert 51 <= covered <= 60


def test_scores_that_mostly_are_not_finite_have_none() -> None:
    blocks = Blocks()
    for _ in range(20):
        blocks.add({"sum": torch.tensor(0.0), "count": torch.tensor(0.0)})
    assert blocks.interval(mean, 0.95) is None
