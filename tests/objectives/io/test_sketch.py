"""Sketches forgive last bits and nothing else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfront.objectives.io.sketch import agree, common, sketch


def stored(value: Any) -> Any:
    """A sketch as it comes back from a file."""
    return json.loads(json.dumps(sketch(value), allow_nan=False))


@given(st.integers(1, 5), st.integers(1, 40), st.floats(1e-6, 1e6), st.integers(0, 100))
def test_last_bits_do_not_matter_and_any_sample_does(samples: int, size: int, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(samples, size, generator=generator)
    assert agree(stored(x), sketch(x * (1 + 1e-6 * torch.randn(x.shape, generator=generator))))
    other = x.clone()
    other[seed % samples] = -other[seed % samples] + scale
    assert not agree(stored(x), sketch(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.tensor([1, 2, 3]), torch.tensor([1, 2, 4])),
        (torch.tensor([1, 2, 3]), torch.tensor([1.0, 2.0, 3.0])),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.tensor([0.0, 1.0]), torch.tensor([torch.nan, 1.0])),
        ({"a": torch.ones(2)}, {"b": torch.ones(2)}),
        ((torch.ones(2),), torch.ones(2)),
        ((torch.ones(2), torch.ones(2)), (torch.ones(2), 3 * torch.ones(2))),
        ("one", "other"),
        (1.0, 1.1),
        (np.array([1, 2]), np.array([2, 1])),
        (torch.tensor([1 + 1j]), torch.tensor([1 - 1j])),
    ],
    ids=str,
)
def test_tells_content_apart(one: Any, other: Any) -> None:
    assert not agree(stored(one), sketch(other))
    assert agree(stored(one), sketch(one)) and agree(stored(other), sketch(other))


def test_what_is_not_the_same_twice_is_known_by_type_and_shape() -> None:
    pair = [{"x": torch.randn(3, 4), "y": torch.arange(3)} for _ in range(2)]
    known = common(*map(sketch, pair))
    assert known["items"]["x"] == {"type": "float32", "shape": [3, 4]}
    assert agree(known, sketch({"x": torch.randn(3, 4), "y": torch.arange(3)}))
    assert not agree(known, sketch({"x": torch.randn(3, 5), "y": torch.arange(3)}))
    assert not agree(known, sketch({"x": torch.randn(3, 4), "y": torch.ones(3, dtype=torch.long)}))


def test_what_cannot_be_told_agrees_with_everything() -> None:
    assert sketch(object()) is None
    assert agree(None, sketch(torch.ones(3))) and agree(sketch(torch.ones(3)), None)
