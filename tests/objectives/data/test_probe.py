"""A probe holds samples that the loader really samples, and leaves every random state as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from rankfront import Split
from rankfront.objectives.data.probe import SAMPLES, read_probe
from rankfront.objectives.data.structure import tensors_of
from tests.conftest import blobs

X, Y = blobs(300, 1)


class Items(Dataset[Any]):
    """The blobs one by one, each changed by ``augment``."""

    def __init__(self, augment: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        self.augment = augment

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.augment(X[i]), Y[i]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


SAME: dict[str, Callable[[], Any]] = {
    "tensors": lambda: (X, Y),
    "tensor set": lambda: TensorDataset(X, Y),
    "set": lambda: Items(),
    "loader": lambda: DataLoader(Items(), 32),
    "shuffled": lambda: DataLoader(Items(), 7, shuffle=True),
    "shuffled by a generator": lambda: DataLoader(Items(), 7, shuffle=True, generator=generator()),
    "with workers": lambda: DataLoader(Items(), 50, num_workers=3, shuffle=True),
    "batches of its own": lambda: DataLoader(
        Items(), batch_sampler=BatchSampler(SubsetRandomSampler(range(300), generator()), 10, False)
    ),
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_every_form_of_the_same_data_gives_the_same_samples(
    source: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.multiprocessing.Process, "start", None)
    probe = read_probe(Split(source()))
    expected = read_probe(Split((X, Y)))
    assert probe is not None and expected is not None and probe.fixed
    assert torch.equal(probe.batch.inputs, expected.batch.inputs) and len(probe.batch.targets) == SAMPLES
    assert (probe.inputs, probe.targets) == (expected.inputs, expected.targets)


def test_only_what_the_sampler_gives_is_read() -> None:
    probe = read_probe(Split(DataLoader(Items(), 8, sampler=SubsetRandomSampler(range(50, 90)))))
    assert probe is not None and torch.equal(probe.batch.targets, Y[50:90])
    weights = (torch.arange(300) < 20).double()
    weighted = read_probe(Split(DataLoader(Items(), 8, sampler=WeightedRandomSampler(weights.tolist(), 100))))
    assert weighted is not None and weighted.fixed
    assert {tuple(x) for x in weighted.batch.inputs.tolist()} <= {tuple(x) for x in X[:20].tolist()}


def test_states_of_random_numbers_are_as_before() -> None:
    own = generator()
    loader = DataLoader(Items(lambda x: x + torch.rand(1)), 8, shuffle=True, generator=own)
    before = torch.get_rng_state(), np.random.get_state(), random.getstate(), own.get_state()  # noqa: NPY002
    read_probe(Split(loader))
    after = torch.get_rng_state(), np.random.get_state(), random.getstate(), own.get_state()  # noqa: NPY002
    assert torch.equal(before[0], after[0]) and torch.equal(before[3], after[3]) and before[2] == after[2]
    assert str(before[1]) == str(after[1])


OWN = np.random.default_rng(0)
RANDOM: dict[str, Callable[[Tensor], Tensor]] = {
    "torch": lambda x: x + torch.rand(1),
    "numpy": lambda x: x + np.random.rand(),  # noqa: NPY002
    "python": lambda x: x + random.random(),
    "a generator of its own": lambda x: x + OWN.random(),
}


@pytest.mark.parametrize("augment", RANDOM.values(), ids=RANDOM)
def test_random_augmentation_is_known_by_its_shape_only(augment: Callable[[Tensor], Tensor]) -> None:
    probe = read_probe(Split(DataLoader(Items(augment), 8)))
    assert probe is not None and not probe.fixed
    assert probe.inputs == {
        "type": "float32" if probe.batch.inputs.dtype == torch.float32 else "float64",
        "shape": [64, 12],
    }
    assert "hash" in probe.targets


def test_a_transform_is_seen_and_collate_is_the_loaders() -> None:
    doubled = read_probe(Split((X, Y), transform=lambda x: 2 * x))
    assert doubled is not None and torch.equal(doubled.batch.inputs[0], 2 * X[0])

    def collate(items: list[Any]) -> Any:
        return {"x": torch.stack([x for x, _ in items])}, torch.stack([y for _, y in items])

    probe = read_probe(Split(DataLoader(Items(), 8, collate_fn=collate)))
    assert probe is not None and torch.equal(probe.batch.inputs["x"][0], X[0])


def test_data_that_cannot_be_read_here_is_not_known() -> None:
    class OpenedByWorkers(Items):
        def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
            raise RuntimeError("the file is opened in worker_init_fn")

    assert read_probe(Split(OpenedByWorkers())) is None


BATCHES: dict[str, tuple[Callable[[int], tuple[Any, Any]], int | None, tuple[int, ...]]] = {
    # a batch of so many samples, the dimension said, the shape of eight samples
    "tensors": (lambda n: (torch.rand(n, 3), torch.zeros(n)), None, (8, 3)),
    "arrays": (lambda n: (np.ones((n, 3), np.float32), np.zeros(n, np.int64)), None, (8, 3)),
    "sequences first": (lambda n: (torch.rand(7, n, 3), torch.zeros(n)), 1, (7, 8, 3)),
    "sequences first, found": (lambda n: (torch.rand(7, n, 3), torch.zeros(n)), None, (7, 8, 3)),
    "sequences first, arrays": (lambda n: (np.ones((7, n, 3), np.float32), np.zeros(n)), 1, (7, 8, 3)),
    "long sequences": (lambda n: (torch.rand(100, n), torch.zeros(n)), 1, (100, 8)),
    "columns": (lambda n: ((torch.rand(n, 3), torch.rand(n)), torch.zeros(n)), None, (8, 3)),
    "a mask for all": (lambda n: ({"x": torch.rand(n, 3), "mask": torch.ones(5, 5)}, torch.zeros(n)), None, (8, 3)),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_batches_of_a_stream_are_put_together_along_their_samples(kind: str) -> None:
    make, dim, shape = BATCHES[kind]
    batches = [make(n) for n in (4, 3, 4, 2)]
    few = Split(batches, batch_dim=dim).few(8)
    assert tensors_of(few.inputs)[0].shape == shape and len(few.targets) == few.samples == 8
    probe = read_probe(Split(batches, batch_dim=dim))
    assert probe is not None and probe.fixed and probe.batch.samples == 13


def test_no_more_of_a_stream_is_read_than_asked_for() -> None:
    read: list[int] = []

    class Counted(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            for i in range(100):
                read.append(i)
                yield torch.rand(7, 4, 3), torch.zeros(4)

    split = Split(DataLoader(Counted(), batch_size=None), batch_dim=1)
    assert split.few(8).samples == 8 and read == [0, 1]


def test_where_batches_do_not_fit_the_first_is_read() -> None:
    split = Split([(torch.rand(4, length), torch.zeros(4)) for length in (5, 7)])
    assert split.few(8).inputs.shape == (4, 5)
