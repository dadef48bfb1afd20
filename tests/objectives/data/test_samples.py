"""Contracts: every structure × every function on its samples."""

from __future__ import annotations

from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from rankfront import RankfrontError, Split
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.data.samples import can_cut, cut, join, length, told
from rankfront.objectives.data.structure import place, tensors_of
from rankfront.objectives.data.together import joined, together
from rankfront.objectives.io.sketch import sketch


class Pair(NamedTuple):
    x: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Sample:
    x: Tensor
    name: str


class Graphs:
    """As a graph batch: it knows how many graphs it holds, and cannot be cut."""

    def __init__(self, nodes: Tensor, graphs: int) -> None:
        self.nodes, self.num_graphs = nodes, graphs

    def to(self, device: Any) -> Graphs:
        return Graphs(self.nodes.to(device), self.num_graphs)


class Boxes:
    """As detection's instances: it has a length and can be cut."""

    def __init__(self, boxes: Tensor) -> None:
        self.boxes = boxes

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, part: Any) -> Boxes:
        return Boxes(self.boxes[part])

    def to(self, device: Any) -> Boxes:
        return Boxes(self.boxes.to(device))


N = 6


def rows(start: int = 0, width: int = 3) -> Tensor:
    return torch.arange(start, start + N)[:, None] * 10.0 + torch.arange(width)


def images() -> list[Tensor]:
    return [torch.full((3, 4 + i, 5), float(i)) for i in range(N)]


def encoding() -> Any:
    from transformers import BatchEncoding

    return BatchEncoding({"input_ids": rows().long(), "attention_mask": torch.ones(N, 3)})


def output() -> Any:
    from transformers.modeling_outputs import SequenceClassifierOutput

    return SequenceClassifierOutput(logits=rows(), hidden_states=(rows(), rows(7)))


STRUCTURES: dict[str, Callable[[], Any]] = {
    "a tensor": rows,
    "an array": lambda: rows().numpy(),
    "a tuple": lambda: (rows(), rows(5)),
    "a dict": lambda: {"x": rows(), "scale": 2.0, "note": "x", "nothing": None},
    "an ordered dict": lambda: OrderedDict(x=rows()),
    "a defaultdict": lambda: defaultdict(list, x=rows()),
    "a user dict": lambda: UserDict(x=rows()),
    "a read-only mapping": lambda: MappingProxyType({"x": rows()}),
    "a batch encoding": encoding,
    "a model output": output,
    "a named tuple": lambda: Pair(rows(), None),
    "a dataclass": lambda: Sample(rows(), "some"),
    "a list of images": images,
    "a list of dicts": lambda: [{"boxes": torch.zeros(i, 4), "label": i} for i in range(N)],
    "texts": lambda: [f"text {i}" for i in range(N)],
    "a tuple of texts": lambda: tuple(f"text {i}" for i in range(N)),
    "texts beside tensors": lambda: {"x": rows(), "names": [f"{i}" for i in range(N)]},
    "a list of columns": lambda: {"x": rows(), "scales": [rows(1), rows(2)]},
    "packed": lambda: pack_sequence([torch.ones(k, 2) * k for k in (3, 1, 4, 2, 2, 1)], enforce_sorted=False),
    "packed, with lengths": lambda: (pack_sequence([torch.ones(k, 2) for k in (3, 1, 4, 2, 2, 1)], False), rows()),
    "states of an RNN": lambda: (rows(), (torch.arange(2.0 * N).view(2, N, 1), torch.zeros(2, N, 1))),
    "a mask for all": lambda: (rows(), torch.ones(4, 4)),
    "instances": lambda: Boxes(rows()),
    "nested": lambda: {"a": (rows(), [{"b": rows(3)}, Pair(rows(), rows(1))]), "loss": torch.tensor(1.0)},
}
NOT_JOINED = {"nested", "instances"}
"""A loss of a whole batch becomes one of each part where they are put together; an object cannot be."""


def plain(item: Any) -> Any:
    """The structure as lists, for comparison."""
    if isinstance(item, Tensor | np.ndarray):
        return torch.as_tensor(item).tolist()
    if isinstance(item, PackedSequence):
        return [one.tolist() for one in unpack_sequence(item)]
    if isinstance(item, Boxes):
        return item.boxes.tolist()
    if isinstance(item, dict | UserDict | MappingProxyType) or hasattr(item, "keys"):
        return {key: plain(value) for key, value in item.items()}
    if isinstance(item, tuple | list):
        return [plain(part) for part in item]
    return plain(vars(item)) if isinstance(item, Sample) else item


@pytest.mark.parametrize("name", STRUCTURES)
def test_samples_are_counted_cut_and_put_together_and_types_stay(name: str) -> None:
    item = STRUCTURES[name]()
    assert length(item) == N and can_cut(item, N) == (True, "")
    parts = [cut(item, part) for part in (slice(0, 4), slice(4, 6))]
    assert [length(part) for part in parts] == [4, 2]
    assert {type(part) for part in parts} == {type(item)}
    picked, singly = cut(item, torch.tensor([5, 0]), 0, N), [cut(item, slice(i, i + 1), 0, N) for i in (5, 0)]
    if name not in NOT_JOINED:
        assert plain(join([place(part, "cpu") for part in parts], 0, [4, 2])) == plain(item)
        assert plain(join([place(part, "cpu") for part in singly], 0, [1, 1])) == plain(picked)
        assert plain(join(parts, 0, [4, 2])) == plain(item) and plain(join(singly, 0, [1, 1])) == plain(picked)
    assert plain(STRUCTURES[name]()) == plain(item), "what was given stays as it was"


@pytest.mark.parametrize("name", STRUCTURES)
def test_what_is_placed_keeps_type_and_attributes(name: str) -> None:
    item = STRUCTURES[name]()
    placed = place(item, "meta")
    assert isinstance(placed, Tensor) if isinstance(item, np.ndarray) else type(placed) is type(item)
    shapes = [tuple(tensor.shape) for tensor in tensors_of(place(item, "cpu"))]
    assert [tuple(tensor.shape) for tensor in tensors_of(placed)] == shapes
    if hasattr(item, "keys") and hasattr(item, "input_ids"):
        assert placed.input_ids is placed["input_ids"] and placed.input_ids.device.type == "meta"


@pytest.mark.parametrize("name", STRUCTURES)
def test_parts_of_a_batch_hold_its_samples(name: str) -> None:
    batch = Batch(STRUCTURES[name](), torch.arange(N), torch.arange(N))
    for count in (1, 2, N, 50):
        parts = batch.parts(count)
        assert len(parts) == min(count, N) and torch.cat([part.index for part in parts]).tolist() == [*range(N)]
        assert [length(part.inputs) for part in parts] == [part.samples for part in parts]


class Frame:
    """As a pandas Series: what == returns is no truth value."""

    def __eq__(self, other: object) -> Any:
        return np.array([True, False])


LEAVES: dict[str, tuple[list[Any], Any]] = {
    "numbers": ([1, 2], [1, 2]),
    "equal numbers": ([1.5, 1.5], 1.5),
    "NumPy's numbers": ([np.float32(1.5), np.float32(2.5)], [1.5, 2.5]),
    "texts": (["a", "b"], ["a", "b"]),
    "a number and None": ([1, None], [1, None]),
    "None and a number": ([None, 1], [None, 1]),
    "a text, then nothing": (["a", None], ["a", None]),
    "nothing": ([None, None], None),
    "arrays of texts": ([np.array(["a"]), np.array(["b"])], np.array(["a", "b"])),
}


@pytest.mark.parametrize("name", LEAVES)
def test_what_is_no_tensor_is_put_together_without_loss(name: str) -> None:
    parts, expected = LEAVES[name]
    found = join(parts, samples=[1, 1])
    assert np.array_equal(found, expected) if isinstance(found, np.ndarray) else plain(found) == plain(expected)


def test_what_cannot_be_compared_is_not_the_same() -> None:
    one, other = Frame(), Frame()
    assert [id(part) for part in join([one, other], samples=[1, 1])] == [id(one), id(other)]


@pytest.mark.parametrize(
    "parts",
    [
        [torch.zeros(1, 2), None],
        [None, torch.zeros(1, 2)],
        [torch.zeros(1, 2), np.zeros((1, 2))],
        [np.zeros((1, 2)), torch.zeros(1, 2)],
        [np.zeros((1, 2)), np.zeros(1)],
        [{"x": torch.zeros(1)}, None],
        [None, {"x": torch.zeros(1)}],
        [{"x": torch.zeros(1)}, {"y": torch.zeros(1)}],
        [(torch.zeros(1), 2), (torch.zeros(1),)],
    ],
    ids=str,
)
def test_different_forms_are_refused(parts: list[Any]) -> None:
    for samples in ([1, 1], None):
        with pytest.raises(RankfrontError, match="of different forms cannot be put together"):
            join(parts, samples=samples)


def test_what_cannot_be_cut_stays_whole_and_says_so() -> None:
    batch = Batch(Graphs(torch.zeros(9, 2), N), torch.arange(N))
    assert batch.samples == N and batch.parts(3) == [batch] and batch[:2] is batch
    assert batch.can_cut() == (False, "a Graphs cannot be cut into samples")
    with pytest.raises(RankfrontError, match="batches that hold a Graphs cannot be put together"):
        joined([batch, batch])
    assert place(batch.inputs, "meta").nodes.device.type == "meta"
    flattened = Batch(torch.zeros(4, 5, 3), torch.zeros(20))
    assert flattened.can_cut() == (False, "the inputs hold 4 samples, not 20") and flattened[:2] is flattened


@pytest.mark.parametrize("kind", ["f2", ">f4", "<f8", "g", "G", ">c8", ">i2", "u2", "u4", "?"])
def test_arrays_of_any_number_become_tensors(kind: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(kind)
    assert place(array, "cpu").tolist() == array.tolist() == place({"x": array[:, ::-1]}, "cpu")["x"].flip(1).tolist()
    split = Split((array, array))
    assert next(split.batches(2)).inputs.tolist() == array.tolist()
    assert sketch(array)["shape"] == [2, 3]


def test_an_array_may_be_read_only_reversed_or_without_dimensions() -> None:
    array = np.arange(6.0)[::-1]
    array.flags.writeable = False
    assert place(array, "cpu").tolist() == [5, 4, 3, 2, 1, 0]
    assert place(np.array(3), "cpu").shape == () and place(np.array(["a"]), "cpu").tolist() == ["a"]


def test_sequences_first() -> None:
    x, y = torch.arange(30.0).view(5, 6, 1), torch.arange(6)
    batch = Batch({"x": x, "lengths": y, "table": torch.zeros(9, 9)}, y, dim=1)
    assert batch.samples == 6 and torch.equal(batch[2:4].inputs["x"], x[:, 2:4])
    assert batch[2:4].inputs["lengths"].tolist() == [2, 3] and batch[:1].inputs["table"].shape == (9, 9)
    assert torch.equal(joined(batch.parts(3)).inputs["x"], x)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([torch.zeros(2, 3), torch.zeros(2, 4)], r"different sizes cannot be put together: \(2, 3\) and \(2, 4\)"),
        ([torch.zeros(2, 3), torch.zeros(2)], "different forms"),
        ([{"a": torch.zeros(2)}, {"b": torch.zeros(2)}], "different forms cannot be put together: a dict of a"),
        ([(torch.zeros(2),), torch.zeros(2)], "different forms"),
    ],
)
def test_what_does_not_fit_together_is_told(items: list[Any], said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        join(items)


def test_a_mask_for_all_samples_is_put_together_once() -> None:
    batches = [Batch((torch.zeros(n, 5), torch.eye(5)), torch.zeros(n)) for n in (3, 5, 3)]
    (whole,) = together(batches)
    assert whole.samples == 11 and torch.equal(whole.inputs[1], torch.eye(5))
    other = Batch((torch.zeros(3, 5), torch.ones(5, 5)), torch.zeros(3))
    assert [batch.samples for batch in together([*batches, other])] == [11, 3]


def test_batches_go_together_where_they_fit() -> None:
    batches = [Batch(torch.zeros(n, width), torch.zeros(n)) for n, width in ((3, 4), (2, 5), (3, 4), (1, 5))]
    assert [tuple(batch.inputs.shape) for batch in together(batches)] == [(6, 4), (3, 5)]
    assert [batch.samples for batch in together(batches, 3)] == [3, 3, 3]


def test_a_batch_without_samples_is_told() -> None:
    with pytest.raises(RankfrontError, match="tells its number of samples, but its inputs are a float"):
        _ = Batch(1.0, None).samples


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (None, "None"),
        (3, "an int"),
        ("x", "a str"),
        (torch.zeros(2, 3), "a tensor (2, 3)"),
        (np.zeros(2), "a NumPy array (2,)"),
        (OrderedDict(x=1), "an OrderedDict of x"),
        ([1, 2], "a list of 2"),
    ],
)
def test_what_an_item_is_is_told_in_words(item: Any, said: str) -> None:
    assert told(item) == said
