"""Contracts: every form of data × what is done with it: counted, drawn from, trained on, scored, probed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
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

from rankfront import FineTune, RankfrontError, Split
from rankfront.objectives.calibration.samples import draw
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.data.probe import read_probe
from rankfront.objectives.metrics.evaluation import evaluate
from rankfront.objectives.metrics.score import ACCURACY
from rankfront.objectives.training.finetune import finetune

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


@pytest.mark.parametrize("form", FORMS)
def test_what_is_scored_is_counted(form: str) -> None:
    make, samples, _ = FORMS[form]
    split, model = make(), Network()
    assert evaluate(model, split, ACCURACY, batch_size=16).samples == samples
    assert evaluate(model, split, ACCURACY, batch_size=16).samples == samples, "a second reading gives as many"


@pytest.mark.parametrize("form", FORMS)
def test_steps_are_those_taken(form: str) -> None:
    make, _, steps = FORMS[form]
    split, settings, taken = make(), FineTune(epochs=2, batch_size=16), 0

    def counted(outputs: Tensor, batch: Batch) -> Tensor:
        nonlocal taken
        taken += 1
        return loss(outputs, batch)

    epochs: list[float] = []
    finetune(Network(), split, counted, lambda _: epochs.append(0) or 0.0, settings, seed=0, device=CPU)
    assert taken == settings.total_steps(split) == 2 * steps and len(epochs) == 3


@pytest.mark.parametrize("form", FORMS)
def test_calibration_is_drawn_over_the_whole_epoch(form: str) -> None:
    make, _, _ = FORMS[form]
    wanted = 64
    drawn = draw(make(), wanted, 0, CPU)
    batches = [*drawn.calibration, *drawn.held_out]
    assert wanted <= sum(batch.samples for batch in batches) <= wanted * 5 // 4 + 8
    classes = torch.cat([batch.targets for batch in batches]).unique().tolist()
    everything = {"weighted": [0], "batches of a subset": [0, 1, 2], "a tensor alone": [0, 1]}
    assert classes == everything.get(form, [0, 1, 2, 3])
    again = draw(make(), wanted, 0, CPU)
    if form != "whole batches, shuffled":
        for one, other in zip(batches, [*again.calibration, *again.held_out], strict=True):
            assert torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("form", FORMS)
def test_a_probe_and_an_example_are_read(form: str) -> None:
    split = FORMS[form][0]()
    probe = read_probe(split)
    assert probe is not None and probe.fixed and 16 <= probe.batch.samples <= 64
    assert probe.targets["shape"] == [probe.batch.samples]
    with torch.no_grad():
        example = split.example()
        inputs = example if isinstance(example, Tensor) else example["input"]
        assert Network()(inputs).shape == (1, CLASSES)


@pytest.mark.parametrize("form", ["sequences first", "sequences first, loaded", "sequences first, said"])
def test_the_dimension_of_samples_is_found(form: str) -> None:
    batch = next(FORMS[form][0]().batches(16))
    assert batch.dim == 1 and batch.samples == 16 and batch[:5].inputs.shape == (6, 5, 1)


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


def test_what_a_loader_makes_of_its_batches_is_what_is_calibrated_on() -> None:
    split = Split(Doubling(Items(), 16))
    assert torch.equal(split.example(), 2 * X[:1])
    for batch in draw(split, 32, 0, CPU).calibration:
        assert all(bool((row == 2 * X).all(1).any()) for row in batch.inputs)


class Graph:
    """As a graph batch of another library: cannot be cut."""

    def __init__(self, nodes: list[Tensor]) -> None:
        self.x, self.num_graphs = torch.cat(nodes), len(nodes)

    def to(self, device: Any) -> Graph:
        return self


def test_what_a_batch_sampler_puts_together_stays_together() -> None:
    class ByLength(Items):
        def __getitem__(self, i: int) -> Any:
            return torch.zeros(3 + i // 40), Y[i]

    buckets = [list(range(i, i + 20)) for i in range(0, N, 20)]
    split = Split(DataLoader(ByLength(), batch_sampler=buckets))  # default_collate refuses different lengths
    drawn = [*(samples := draw(split, 64, 0, CPU)).calibration, *samples.held_out]
    assert {batch.inputs.shape[1] for batch in drawn} == {3, 4, 5, 6}
    assert all(len(batch.targets.unique()) == 1 for batch in drawn)


def test_batches_of_graphs() -> None:
    def collate(items: list[Any]) -> Any:
        return Graph([x[None] for x, _ in items]), torch.stack([y for _, y in items])

    loader = DataLoader(Items(), 16, collate_fn=collate)
    split = Split(loader)
    assert split.example().num_graphs == 1
    assert sum(batch.samples for batch in draw(split, 64, 0, CPU).calibration) == 64
    streamed = Split(list(loader))
    assert sum(batch.samples for batch in draw(streamed, 64, 0, CPU).calibration) >= 64
    with pytest.raises(RankfrontError, match=r"a Graph cannot be cut into samples: give a DataLoader over a Dataset"):
        streamed.example()


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


@pytest.mark.parametrize(
    "samples",
    [
        [(X[i], int(Y[i])) for i in range(N)],
        [(X[i], Y[i]) for i in range(N)],
        [(X[i].numpy(), Y[i].numpy()) for i in range(N)],
        [{"input": X[i], "label": Y[i]} for i in range(N)],
        [(X[i], Y[i : i + 1]) for i in range(N)],
    ],
)
def test_a_list_of_samples_is_a_dataset(samples: list[Any]) -> None:
    split = Split(samples)
    (whole,) = split.batches(N)
    inputs = whole.inputs["input"] if isinstance(whole.inputs, dict) else whole.inputs
    assert torch.equal(inputs, X) and torch.equal(whole.targets.flatten(), Y)
    shuffled = next(split.batches(N, shuffle=torch.Generator().manual_seed(0)))
    assert len(split) == N and not torch.equal(shuffled.targets.flatten(), Y)


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


@pytest.mark.parametrize("key", ["labels", "label", "targets", "target"])
def test_labels_of_a_mapping_are_its_targets(key: str) -> None:
    given = {"input": X[:4], key: Y[:4]}
    batch = next(Split([given]).batches(4))
    assert list(batch.inputs) == ["input"] and torch.equal(batch.targets, Y[:4]) and key in given


def detection(items: list[Any]) -> Any:
    return tuple(zip(*items, strict=True))


class Images(Dataset[Any]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> Any:
        return torch.zeros(3, 8 + i, 9), {"boxes": torch.zeros(3, 4), "labels": torch.ones(3).long()}


@pytest.mark.parametrize("size", [1, 3, 4])
def test_images_of_different_sizes_with_their_boxes(size: int) -> None:
    split = Split(DataLoader(Images(), size, collate_fn=detection))
    batches = list(split.batches(size))
    assert sum(batch.samples for batch in batches) == 10
    assert all(type(batch.inputs) is list and type(batch.targets) is list for batch in batches)
    example = split.example()
    assert type(example) is list and [tuple(image.shape) for image in example] == [(3, 8, 9)]
    drawn = draw(split, 16, 0, CPU)
    assert sum(len(batch.inputs) for batch in drawn.calibration) >= 5


def test_tuples_of_a_set_are_positional_arguments() -> None:
    class Two(Items):
        def __getitem__(self, i: int) -> Any:
            return (X[i], X[i]), (Y[i], Y[i])

    batch = next(Split(Two()).batches(4))
    assert [type(part) for part in (batch.inputs, batch.targets)] == [tuple, tuple] and batch.samples == 4
