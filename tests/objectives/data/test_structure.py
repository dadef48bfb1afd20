"""Containers keep their types, whatever is done to the tensors in them."""

from __future__ import annotations

import threading
from collections import OrderedDict, UserDict
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from rankfront import Split
from rankfront.objectives.data.structure import full_precision, mapped, parts_of, place, rebuilt, tensors_of


class Pair(NamedTuple):
    logits: Tensor
    hidden: Tensor | None


@dataclass(frozen=True)
class Answer:
    logits: Tensor
    note: str


class Wrapper(MutableMapping[Any, Any]):
    """A mapping of the user's that keeps its values in a dict, and does not say how it is copied."""

    def __init__(self, values: dict[Any, Any]) -> None:
        self.values_ = values

    def __getitem__(self, key: Any) -> Any:
        return self.values_[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.values_[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.values_[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


class Deeper(Wrapper):
    """One that keeps them in a mapping that keeps them in a dict, in a slot, beside a lock."""

    __slots__ = ("inner", "lock")

    def __init__(self, values: dict[Any, Any]) -> None:
        self.inner, self.lock = Wrapper(values), threading.Lock()

    @property
    def values_(self) -> Any:
        return self.inner


class Slots(Deeper):
    """The same without a lock."""

    def __init__(self, values: dict[Any, Any]) -> None:
        self.inner = Wrapper(values)


class Cache:
    """Neither tensor nor container, as a Hugging Face cache is."""

    def __init__(self) -> None:
        self.keys = torch.zeros(2)


HALF = torch.ones(2, 3, dtype=torch.bfloat16)

STRUCTURES: dict[str, Any] = {
    "a tensor": HALF,
    "a list": [HALF, torch.arange(3)],
    "a tuple": (HALF, None),
    "a named tuple": Pair(HALF, None),
    "torch's own named tuple": torch.max(HALF, 1),
    "a dict": {"logits": HALF, "n": 3, "name": "x"},
    "an ordered dict": OrderedDict(out=HALF, aux=HALF),
    "a read-only mapping": MappingProxyType({"a": HALF}),
    "a mapping of the user's": Wrapper({"logits": HALF, "n": 3}),
    "a mapping in a mapping": Slots({"logits": HALF, "n": 3}),
    "keys of two types": {0: HALF, "0": torch.arange(3), None: HALF},
    "a dataclass": Answer(HALF, "yes"),
    "a cache inside": (HALF, Cache()),
    "nested": {"a": [(Pair(HALF, HALF), {"b": HALF})], "loss": HALF.sum()},
    "packed": pack_sequence([torch.ones(3, 2, dtype=torch.bfloat16), torch.ones(2, 2, dtype=torch.bfloat16)]),
}


def same_form(one: Any, other: Any) -> bool:
    if isinstance(one, MappingProxyType):
        return dict(one).keys() == other.keys()
    if type(one) is not type(other):
        return False
    parts, others = parts_of(one), parts_of(other)
    if parts is None or others is None:
        return parts is others
    return parts.keys() == others.keys() and all(same_form(parts[key], others[key]) for key in parts)


@pytest.mark.parametrize("item", STRUCTURES.values(), ids=STRUCTURES)
def test_containers_keep_their_types(item: Any) -> None:
    for changed in (place(item, "cpu"), full_precision(item), mapped(item, torch.zeros_like)):
        assert same_form(item, changed)
    assert torch.bfloat16 not in {tensor.dtype for tensor in tensors_of(full_precision(item))}
    assert torch.bfloat16 in {tensor.dtype for tensor in tensors_of(item)}, "what was given stays as it was"


@pytest.mark.parametrize("make", [dict, OrderedDict, UserDict, MappingProxyType, Wrapper, Slots, Deeper])
def test_a_batch_of_the_users_is_never_changed(make: Any) -> None:
    labels = torch.arange(4)
    given = make({"x": torch.ones(4, 3), "labels": labels})
    held = {key: id(value) for key, value in given.items()}
    split = Split([given, given])
    for _ in range(2):
        for batch in split.batches(4):
            assert batch.targets is labels and list(batch.inputs) == ["x"] and id(batch.inputs["x"]) == held["x"]
            assert type(batch.inputs) is make or make in (MappingProxyType, Deeper)
    rebuilt(given, [1, 2])
    assert {key: id(value) for key, value in given.items()} == held


def test_huggingfaces_containers_keep_attributes() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    given = outputs.SequenceClassifierOutput(logits=HALF, hidden_states=(HALF, HALF))
    changed = full_precision(given)
    assert type(changed) is type(given) and list(changed.keys()) == ["logits", "hidden_states"]
    for logits in (changed.logits, changed["logits"], changed[0]):
        assert logits.dtype == torch.float32
    assert given.logits.dtype == torch.bfloat16

    from transformers import BatchEncoding

    encoding = place(BatchEncoding({"input_ids": torch.arange(3)}), "meta")
    assert type(encoding) is BatchEncoding and encoding.input_ids.device.type == "meta"


def test_a_packed_sequence_still_unpacks() -> None:
    packed = full_precision(STRUCTURES["packed"])
    assert isinstance(packed, PackedSequence)
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(packed)
    assert padded.shape == (3, 2, 2) and lengths.tolist() == [3, 2]
