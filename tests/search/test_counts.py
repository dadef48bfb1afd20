"""A study notes on how many samples its scores were computed, and its intervals follow from that number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset

from rankfront import Task
from tests.conftest import blobs, go

X, Y = blobs(320, 2)


class Chunks(Dataset[Any]):
    """Every item is a batch."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> Any:
        return X[32 * i : 32 * i + 32], Y[32 * i : 32 * i + 32]


class Stream(IterableDataset[Any]):
    def __len__(self) -> int:
        return 320

    def __iter__(self) -> Iterator[Any]:
        return iter(zip(X, Y, strict=True))


SEEN: dict[str, tuple[Callable[[], Any], int]] = {
    "whole batches": (lambda: DataLoader(Chunks(), batch_size=None), 320),
    "batches of a subset": (
        lambda: DataLoader(TensorDataset(X, Y), batch_sampler=BatchSampler(SubsetRandomSampler(range(100)), 20, False)),
        100,
    ),
    "without the last batch": (lambda: DataLoader(TensorDataset(X, Y), batch_size=150, drop_last=True), 300),
    "a stream that has a length": (lambda: DataLoader(Stream(), batch_size=32), 320),
}


@pytest.mark.parametrize("form", SEEN)
def test_samples_are_those_seen(task: Task, tmp_path: Path, form: str) -> None:
    make, samples = SEEN[form]
    result = go(replace(task, validation=make(), test=make()), tmp_path, budget="params=60%", trials=1)
    assert result.dense.samples == {"validation": samples, "test": samples}
    front = result.front.iloc[0]
    interval = binomtest(round(front.accuracy * samples), samples).proportion_ci(method="wilson")
    assert (front.accuracy_low, front.accuracy_high) == pytest.approx((interval.low, interval.high), abs=1e-9)
