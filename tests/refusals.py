"""How a wrong thing is refused: in one short sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from rankfront import RankfrontError, Task
from tests.conftest import blobs, perceptron

LONGEST = 300
DATA = blobs(64, 1)
FORBIDDEN = ("Traceback", "unexpected", "positional argument", "object has no attribute", "\n")
"""What no sentence to a user may say."""


def refused(call: Callable[[], object]) -> str:
    """Return the sentence that a call ends in."""
    with pytest.raises(RankfrontError) as caught:
        call()
    said = str(caught.value)
    assert len(said) < LONGEST and not any(word in said for word in FORBIDDEN), said
    return said


class Net(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def task(**changes: Any) -> Task:
    return Task(**{"model": perceptron(), "train": DATA, "validation": DATA, **changes})
