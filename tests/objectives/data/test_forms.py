"""Contracts: every form of data × what is done with it: counted, drawn from, trained on, scored, probed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
)

from rankfront import FineTune, RankfrontError, Split
from rankfront.objectives.calibration.samples import draw
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.data.probe import read_probe
from rankfront.objectives.metrics.evaluation import evaluate
from rankfront.objectives.metrics.score import ACCURACY
from rankfront.objectives.training.finetune import finetune
from tests.objectives.data.forms import CLASSES, CPU, FORMS, Doubling, Items, N, Network, X, Y, loss


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
