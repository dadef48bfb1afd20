from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset

from rankfront import RankfrontError, Split
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.data.content import fingerprint_of
from rankfront.objectives.data.structure import apply
from rankfront.objectives.data.targets import check_classes

X, Y = torch.arange(30.0).view(10, 3), torch.arange(10)


class Pairs(Dataset[Any]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        return {"x": X[index]}, Y[index]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([])


@pytest.mark.parametrize(
    "source",
    [(X, Y), [X, Y], TensorDataset(X, Y), DataLoader(TensorDataset(X, Y), batch_size=4), Split((X, Y))],
    ids=["tuple", "list", "TensorDataset", "DataLoader", "Split"],
)
def test_every_form_gives_the_same_batches(source: Any) -> None:
    split = Split(source)
    batches = list(split.batches(4))
    assert len(split) == 10
    assert [len(b.inputs) for b in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([b.inputs for b in batches]), X)
    assert torch.equal(torch.cat([b.targets for b in batches]), Y)
    assert torch.equal(split.example(), X[:1])


@pytest.mark.parametrize("source", [(X, Y), Pairs()], ids=["tensors", "Dataset"])
def test_shuffles_by_the_generator(source: Any) -> None:
    def order(seed: int) -> list[int]:
        batches = Split(source).batches(4, shuffle=torch.Generator().manual_seed(seed))
        return torch.cat([b.targets for b in batches]).tolist()

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == Y.tolist()


def test_index_tells_which_samples() -> None:
    for batch in Split((X, Y)).batches(3, shuffle=torch.Generator().manual_seed(0)):
        assert batch.index is not None
        assert torch.equal(X[batch.index], batch.inputs)


@pytest.mark.parametrize("source", [(X, Y), Pairs()], ids=["tensors", "Dataset"])
def test_limit_cuts_the_last_batch(source: Any) -> None:
    assert [len(b.targets) for b in Split(source).batches(4, limit=6)] == [4, 2]


def test_inputs_may_be_dicts_and_tuples() -> None:
    split = Split(Pairs())
    assert torch.equal(split.example()["x"], X[:1])

    class TakesBoth(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x + y

    assert apply(TakesBoth(), (X, X)).equal(apply(TakesBoth(), {"x": X, "y": X}))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (3, "but got 3"),
        ((X, Y[:4]), "the same length"),
        ((X,), "a pair of tensors"),
        ((X, [1]), "but got \\(Tensor, list\\)"),
        (({"x": X, "ids": [1, 2]}, Y), "but got \\(dict of x Tensor, ids list, Tensor\\)"),
        (({"x": X, "more": (X, "a")}, Y), "but got \\(dict of x Tensor, more tuple of 0 Tensor, 1 str, Tensor\\)"),
        ((X[:0], Y[:0]), "it is empty"),
    ],
)
def test_says_what_is_wrong(source: Any, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        Split(source)


def test_a_batch_that_is_no_pair() -> None:
    with pytest.raises(RankfrontError, match="a pair"):
        list(Split(DataLoader(TensorDataset(X))).batches(2))


def test_fingerprint_tells_data_apart() -> None:
    changed = X.clone()
    changed[3, 1] += 1
    same, other = fingerprint_of(Split(TensorDataset(X, Y))), fingerprint_of(Split((changed, Y)))
    assert fingerprint_of(Split((X, Y))) == same != other


def test_a_loader_is_as_long_as_what_it_samples() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=2, sampler=SubsetRandomSampler(range(5)))
    assert len(Split(loader)) == 5 and Split(loader).steps(100) == 3
    whole = Split(DataLoader(TensorDataset(X, Y), batch_size=5))
    assert whole.steps(1) == 2


@pytest.mark.parametrize("source", [(X, Y), Pairs()], ids=["tensors", "Dataset"])
def test_training_batches_are_never_of_one_sample(source: Any) -> None:
    split = Split(source)
    sizes = [len(b.targets) for b in split.batches(3, shuffle=torch.Generator().manual_seed(0))]
    assert sizes == [3, 3, 3] and split.steps(3) == 3
    assert [len(b.targets) for b in split.batches(3)] == [3, 3, 3, 1]


def test_parts_of_a_batch_are_the_batch() -> None:
    batch = Batch({"x": torch.arange(10.0)}, torch.arange(10), torch.arange(10))
    for count in (1, 3, 10, 50):
        parts = batch.parts(count)
        assert torch.equal(torch.cat([part.inputs["x"] for part in parts]), batch.inputs["x"])
        assert torch.equal(torch.cat([part.targets for part in parts]), batch.targets)
        assert len(parts) == min(count, 10) and all(len(part.targets) for part in parts)


def test_a_whole_batch_may_hold_what_cannot_be_cut() -> None:
    batch = Batch({"x": torch.zeros(4), "mask": None}, torch.zeros(4))
    assert batch.parts(1) == [batch]


def test_classes_that_are_ignored_are_none() -> None:
    split = Split((torch.zeros(3, 2), torch.tensor([0, 255, 1])))
    check_classes(split, 2, 255)
    with pytest.raises(RankfrontError, match=r"classes from 0 to 1, .* but go from 0 to 255"):
        check_classes(split, 2, -100)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("samples", [1, 4, 6, 8, 30])
def test_few_of_a_stream_are_its_first_samples(dim: int, said: bool, samples: int) -> None:
    x = torch.arange(5 * 4.0).reshape(20, 1, 1) + torch.zeros(20, 7, 3)
    batches = [(part.transpose(0, dim), part[:, 0, 0]) for part in x.split(4)]
    few = Split(batches, batch_dim=dim if said else None).few(samples)
    assert few.samples == min(samples, 20)
    torch.testing.assert_close(few.inputs.transpose(0, dim), x[:samples])
    torch.testing.assert_close(few.targets, x[:samples, 0, 0])
