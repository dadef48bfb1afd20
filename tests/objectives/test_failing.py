"""The layers that cannot be factorized are found, and named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfront import RankfrontError
from rankfront.objectives.dry_run import DryRun
from rankfront.objectives.failing import failing, failure
from rankfront.objectives.objective import Objective
from tests.objectives.dry_run_tasks import (
    CPU,
    task,
)


class Picky(nn.Module):
    """Linears of which some refuse, in training, to be anything else than a Linear."""

    def __init__(self, count: int, picky: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(12, 12) for _ in range(count))
        self.head = nn.Linear(12, 4)
        self.picky = picky

    def forward(self, x: Tensor) -> Tensor:
        for at, layer in enumerate(self.layers):
            if self.training and at in self.picky and not isinstance(layer, nn.Linear):
                raise TypeError(f"layer {at} must be a Linear")
            x = torch.relu(layer(x)) + x
        return self.head(x)


@pytest.mark.parametrize(
    ("picky", "said"),
    [
        ((11,), "with layer layers.11 factorized must work, but: the model, given (8, 12) float32, raised TypeError"),
        ((0,), "exclude='layers.0' leaves it dense"),
        ((2, 9), "does not with layers.2, layers.9; with the first: "),
        (range(16), "does not with layers.0, layers.1, layers.2, …; with the first: "),
    ],
)
def test_the_layers_that_cannot_be_factorized_are_looked_for_in_halves(picky: Sequence[int], said: str) -> None:
    looked: list[tuple[str, int, int]] = []
    objective = Objective(task(Picky(16, picky)), device=CPU)
    with pytest.raises(RankfrontError) as caught:
        DryRun.of(objective).run(Path("nowhere"), lambda *seen: looked.append(seen))
    assert said in str(caught.value)
    assert looked[-1][1] == looked[-1][2] and len(looked) - 1 <= 2 * (1 + min(len(picky), 4)) * 5
    if len(picky) == 1:
        assert len(looked) - 1 <= 2 * 5  # 2 log₂ 17


def test_what_fails_only_together_is_told_of_all() -> None:
    def why(names: Sequence[str]) -> str:
        return "both" if {"a", "d"} <= set(names) else ""

    assert list(failing(list("abcd"), why)) == [] and failure(list("abcd"), why, None) is None


@given(st.sets(st.integers(0, 40)), st.integers(1, 41))
def test_every_layer_that_fails_by_itself_is_found(bad: set[int], count: int) -> None:
    names, tried = [str(at) for at in range(count)], 0
    expected = [name for name in names if int(name) in bad]

    def why(some: Sequence[str]) -> str:
        nonlocal tried
        tried += 1
        return " ".join(name for name in some if int(name) in bad)

    assert list(failing(names, why)) == [(name, name) for name in expected]
    assert tried <= 1 + 2 * len(expected) * math.ceil(math.log2(count)) or not expected
