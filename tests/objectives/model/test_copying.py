"""A network is copied whatever hangs on it, or what cannot be copied is named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from rankfront import RankfrontError
from rankfront.objectives.model.copying import copied


def itself() -> Any:
    held: list[Any] = []
    held.append(held)
    return held


def through_a_list() -> Any:
    held: dict[str, Any] = {}
    held["list"] = [held]
    return held


def two() -> Any:
    one: dict[str, Any] = {}
    other: dict[str, Any] = {"one": (one,)}
    one["other"] = other
    return one


def deep() -> Any:
    held: list[Any] = []
    for _ in range(100):
        held = [held]
    return held


CYCLES: dict[str, Callable[[], Any]] = {
    "a list in itself": itself,
    "a dict in a list of it": through_a_list,
    "two in each other": two,
    "deep": deep,
}


@pytest.mark.parametrize("name", CYCLES)
def test_what_contains_itself_is_copied(name: str) -> None:
    model = nn.Linear(2, 2)
    model.cache = CYCLES[name]()  # pyright: ignore[reportAttributeAccessIssue]
    model.computed = [model.cache, 2 * model.weight]  # pyright: ignore[reportAttributeAccessIssue]
    again: Any = copied(model)
    assert again.weight is not model.weight and again.cache is not model.cache
    assert again.computed[0] is again.cache and torch.equal(again.computed[1], 2 * model.weight)
    assert again.computed[1].grad_fn is None


@pytest.mark.parametrize("name", CYCLES)
def test_what_cannot_be_copied_beside_it_is_named(name: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].cache = [CYCLES[name](), threading.Lock()]  # pyright: ignore[reportArgumentType]
    with pytest.raises(RankfrontError, match="'cache' of Linear 0, a list"):
        copied(model)
