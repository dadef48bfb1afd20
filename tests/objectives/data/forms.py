"""Every form of data that a split is made of, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from rankfront import Split
from rankfront.objectives.data.batch import Batch

N, CLASSES = 160, 4
X = torch.randn(N, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) * CLASSES // N  # sorted by class
CPU = torch.device("cpu")


class Items(Dataset[Any]):
    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        return X[i], Y[i]


class Mappings(Items):
    def __getitem__(self, i: int) -> Any:
        return {"input": X[i], "labels": Y[i]}


class Triples(Items):
    def __getitem__(self, i: int) -> Any:
        return X[i], f"name {i}", Y[i]


class Chunks(Dataset[Any]):
    """Every item is a batch."""

    def __len__(self) -> int:
        return N // 16

    def __getitem__(self, i: int) -> Any:
        return X[16 * i : 16 * i + 16], Y[16 * i : 16 * i + 16]


class Like:
    """As Hugging Face's datasets: a length and items, and no Dataset of torch's."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        if i >= N:
            raise IndexError
        return {"input": X[i].numpy(), "label": int(Y[i])}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(X, Y, strict=True))


class Sized(Stream):
    def __len__(self) -> int:
        return 10 * N  # as wrong as a length may be


class Doubling(DataLoader[Any]):
    """Changes its batches after they were put together."""

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return ((2 * x, y) for x, y in super().__iter__())


class Again:
    """A loop of the user's that starts anew."""

    def __iter__(self) -> Iterator[Any]:
        return iter(DataLoader(Items(), 16))


class LyingSampler:
    """Of batches, with a wrong length."""

    def __len__(self) -> int:
        return 99

    def __iter__(self) -> Iterator[list[int]]:
        yield from (list(range(i, i + 20)) for i in range(0, N, 20))


def padded(items: list[Any]) -> Any:
    return default_collate(items)


def sequences_first(items: list[Any]) -> Any:
    """``(T, N, C)``, with T equal to C: only the samples tell the dimension."""
    return torch.stack([x for x, _ in items], 1)[:, :, None], torch.stack([y for _, y in items])


weights = [1.0] * 40 + [0.0] * (N - 40)
FORMS: dict[str, tuple[Callable[[], Split], int, int]] = {
    # the split, samples and batches of an epoch
    "tensors": (lambda: Split((X, Y)), N, 10),
    "arrays": (lambda: Split((X.numpy(), Y.numpy())), N, 10),
    "a dict of arrays": (lambda: Split(({"input": X.numpy()}, Y.numpy())), N, 10),
    "a dict of tensors": (lambda: Split(({"input": X}, Y)), N, 10),
    "a tensor set": (lambda: Split(TensorDataset(X, Y)), N, 10),
    "a set": (lambda: Split(Items()), N, 10),
    "a set of mappings": (lambda: Split(Mappings()), N, 10),
    "like a set": (lambda: Split(Like()), N, 10),
    "a loader": (lambda: Split(DataLoader(Items(), 16)), N, 10),
    "a shuffled loader": (lambda: Split(DataLoader(Items(), 16, shuffle=True)), N, 10),
    "a last batch smaller": (lambda: Split(DataLoader(Items(), 64)), N, 3),
    "without the last batch": (lambda: Split(DataLoader(Items(), 64, drop_last=True)), 128, 2),
    "batches of a subset": (
        lambda: Split(DataLoader(Items(), batch_sampler=BatchSampler(SubsetRandomSampler(range(100)), 20, False))),
        100,
        5,
    ),
    "a batch sampler with a wrong length": (
        lambda: Split(DataLoader(Items(), batch_sampler=LyingSampler())),  # pyright: ignore[reportArgumentType]
        N,
        8,
    ),
    "with replacement": (
        lambda: Split(DataLoader(Items(), 16, sampler=RandomSampler(Items(), True, 320))),
        320,
        20,
    ),
    "weighted": (lambda: Split(DataLoader(Items(), 16, sampler=WeightedRandomSampler(weights, 80))), 80, 5),
    "whole batches": (lambda: Split(DataLoader(Chunks(), batch_size=None)), N, 10),
    "whole batches, shuffled": (lambda: Split(DataLoader(Chunks(), batch_size=None, shuffle=True)), N, 10),
    "a loader of mappings": (lambda: Split(DataLoader(Mappings(), 16)), N, 10),
    "a loader with a collation": (lambda: Split(DataLoader(Items(), 16, collate_fn=padded)), N, 10),
    "a loader that changes its batches": (lambda: Split(Doubling(Items(), 16)), N, 10),
    "a stream": (lambda: Split(Stream()), N, 10),
    "a loader of a stream": (lambda: Split(DataLoader(Stream(), 16)), N, 10),
    "a stream with a wrong length": (lambda: Split(DataLoader(Sized(), 16)), N, 10),
    "a list of batches": (lambda: Split(list(DataLoader(Items(), 16))), N, 10),
    "a loop of the user's": (lambda: Split(Again()), N, 10),
    "triples": (lambda: Split(Triples(), collate=lambda batch: (batch[0], batch[2])), N, 10),
    "triples of tensors": (lambda: Split((X, X, Y), collate=lambda batch: (batch[0], batch[2])), N, 10),
    "a tensor alone": (lambda: Split(X, collate=lambda x: (x, (x.sum(1) > 0).long())), N, 10),
    "sequences first": (lambda: Split((X.T[:, :, None], Y)), N, 10),
    "sequences first, loaded": (lambda: Split(DataLoader(Items(), 16, collate_fn=sequences_first)), N, 10),
    "sequences first, said": (lambda: Split((X.T[:, :, None], Y), batch_dim=1), N, 10),
}


class Network(nn.Module):
    """Takes rows ``(N, 6)``, or sequences ``(6, N, 1)``."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, CLASSES)

    def forward(self, input: Tensor) -> Tensor:
        return self.layer(input.float() if input.ndim == 2 else input[:, :, 0].T)


def loss(outputs: Tensor, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(outputs, batch.targets)
