"""Data that cannot be read is refused in a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    TensorDataset,
)

from rankfront import FineTune, RankfrontError, Split
from rankfront.objectives.calibration.samples import draw
from rankfront.objectives.training.finetune import finetune
from tests.objectives.data.forms import CPU, Items, N, Network, Triples, X, Y, loss


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        while True:
            yield X[0], Y[0]


class EndlessSampler:
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 0


ENDLESS: dict[str, Callable[[], Any]] = {
    "a stream": Endless,
    "a loader of a stream": lambda: DataLoader(Endless(), 16),
    "a sampler": lambda: DataLoader(Items(), 16, sampler=EndlessSampler()),
}


@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
def test_data_without_an_end_is_told_or_read_as_far_as_is_said(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("stream", "loaders"):
        monkeypatch.setattr(f"rankfront.objectives.data.{module}.MOST_BATCHES", 50)
    monkeypatch.setattr("rankfront.objectives.data.loaders.MOST_KEYS", 500)
    split = Split(make())
    with pytest.raises(RankfrontError, match=r"must have an end, but its (stream|sampler) gave 50 batches .*steps=N"):
        split.check_ends(16)
    with pytest.raises(RankfrontError, match="must have an end"):
        FineTune(epochs=1).total_steps(split)
    finetune(Network(), split, loss, lambda _: 0.0, FineTune(steps=3, batch_size=16), seed=0, device=CPU)
    assert sum(batch.samples for batch in draw(split, 32, 0, CPU).calibration) >= 32


def generator() -> Iterator[Any]:
    yield X, Y


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (generator(), r"readable again and again, but a generator gives its batches once"),
        (iter([(X, Y)]), "but a list_iterator gives its batches once"),
        (map(tuple, [(X, Y)]), "but a map gives"),
        (iter(DataLoader(Items())), "but a _SingleProcessDataLoaderIter gives"),
        (X, r"a pair of tensors \(inputs, targets\), but got a tensor \(160, 6\): of an autoencoder, give \(x, x\)"),
        ((X, X, Y), r"but got \(Tensor, Tensor, Tensor\); a tuple of 3 needs a collate"),
        ({"x": X, "y": Y}, "but got dict"),
        ("train.csv", "but got 'train.csv': a path is not read"),
    ],
)
def test_what_is_no_data_is_refused_at_once(data: Any, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        Split(data)


class Tensors(Items):
    def __getitem__(self, i: int) -> Any:
        return X[i]


class Unlabelled(Items):
    def __getitem__(self, i: int) -> Any:
        return {"input_ids": X[i], "mask": X[i]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Tensors(), r"a pair \(inputs, targets\), but the data gave a tensor \(16, 6\): of an autoencoder, say Task\("),
        (Triples(), r"but the data gave a list of 3: say how it is read by Task\(collate=function\)"),
        (Unlabelled(), "must hold its targets as labels, label, targets, target, but is a dict of input_ids, mask"),
        (DataLoader(TensorDataset(X), 16), "but the data gave a list of 1: of an autoencoder"),
    ],
)
def test_what_is_no_pair_is_told_with_what_to_do(data: Any, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        next(Split(data).batches(16))


def test_what_collate_returns_is_a_pair() -> None:
    with pytest.raises(RankfrontError, match=r"collate must return a pair \(inputs, targets\), but gave a tensor"):
        next(Split(Items(), collate=lambda batch: batch[0]).batches(16))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda i: (object(), i), "they hold something else than tensors"),
        (lambda i: ({"x": X[i], "extra": None}, i), "they hold something else than tensors"),
        (lambda i: (torch.zeros(3 + i % 2), i), "they differ in size"),
        (lambda i: ([0] * (3 + i % 2), i), "they differ in length"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_samples_that_torch_cannot_put_together(given: Callable[[int], Any], said: str, workers: int) -> None:
    data: Any = [given(i) for i in range(32)]
    with pytest.raises(
        RankfrontError, match=f"the validation data must hold samples .* but {said}.*: make .*collate_fn"
    ):
        next(Split(DataLoader(data, 4, num_workers=workers), name="validation").batches(4))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_collation_of_the_users_own_is_not_torchs(workers: int) -> None:
    data: Any = [(torch.zeros(3 + i % 2), i) for i in range(32)]
    loader = DataLoader(data, 4, num_workers=workers, collate_fn=lambda items: torch.stack([x for x, _ in items]))
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        next(Split(loader, name="validation").batches(4))


def test_a_batch_of_sparse_tensors_is_refused() -> None:
    with pytest.raises(RankfrontError, match=r"one is sparse_coo: give tensor.to_dense\(\)"):
        next(Split([(X[:8].to_sparse(), Y[:8])]).batches(8))


class OnceOnly(IterableDataset[Any]):
    def __init__(self) -> None:
        self.left = iter([(X[i], Y[i]) for i in range(N)])

    def __iter__(self) -> Iterator[Any]:
        return self.left


def test_a_stream_that_is_empty_the_second_time_is_told() -> None:
    split = Split(OnceOnly())
    assert sum(batch.samples for batch in split.batches(16)) == N
    with pytest.raises(RankfrontError, match="at least one batch each time it is read, but gave none"):
        list(split.batches(16))
