"""A plan: for every layer, how it is factorized and at what rank.

The plan is all that is needed to rebuild a compressed network's shape: it is
immutable, hashable, and survives a round trip through JSON.

>>> plan = Plan({"fc1": Choice("svd", 8), "conv2": Choice("tucker2", (16, 24)), "fc2": DENSE})
>>> plan["fc1"].rank
8
>>> Plan.from_json(plan.to_json()) == plan
True
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .errors import RankfrontError

Rank = int | tuple[int, ...]
"""A kind's rank: one integer, or several (see each kind)."""


def as_int(rank: Rank) -> int:
    """Return the rank of a kind that has a single one."""
    assert isinstance(rank, int)
    return rank


def as_tuple(rank: Rank) -> tuple[int, ...]:
    """Return the ranks of a kind that has several."""
    assert isinstance(rank, tuple)
    return rank


@dataclass(frozen=True)
class Choice:
    """What happens to one layer: a kind of factorization, and its rank (``None`` for ``dense``)."""

    kind: str
    rank: Rank | None

    def __str__(self) -> str:
        if self.rank is None:
            return self.kind
        return f"{self.kind} {'×'.join(map(str, self.rank)) if isinstance(self.rank, tuple) else self.rank}"


DENSE = Choice("dense", None)


class Plan(Mapping[str, Choice]):
    """An immutable mapping from layer name to `Choice`, in the model's own layer order."""

    __slots__ = ("_choices",)

    def __init__(self, choices: Mapping[str, Choice]) -> None:
        self._choices = dict(choices)

    def __getitem__(self, name: str) -> Choice:
        return self._choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def __hash__(self) -> int:
        return hash(frozenset(self._choices.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self._choices == other._choices

    def __str__(self) -> str:
        return ", ".join(f"{name}: {choice}" for name, choice in self.items())

    def __repr__(self) -> str:
        return f"Plan({self})"

    def to_json(self) -> dict[str, dict[str, str | int | list[int]]]:
        """Return plain data: ``{"fc1": {"kind": "svd", "rank": 8}, "fc2": {"kind": "dense"}}``; tuples as lists."""
        plain: dict[str, dict[str, str | int | list[int]]] = {}
        for name, choice in self.items():
            plain[name] = {"kind": choice.kind}
            if choice.rank is not None:
                plain[name]["rank"] = list(choice.rank) if isinstance(choice.rank, tuple) else choice.rank
        return plain

    @classmethod
    def from_json(cls, data: object) -> Plan:
        """Read what `to_json` wrote (or its text); anything else raises `RankfrontError`."""
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError) as error:
                raise RankfrontError(f"a plan must be JSON, but it does not parse: {error}") from None
        if not isinstance(data, dict):
            raise RankfrontError(f"a plan must be a JSON object, but got {type(data).__name__}")
        return cls({str(name): _choice(name, entry) for name, entry in data.items()})


def _choice(name: object, entry: object) -> Choice:
    rule = f"plan of layer {name!r} must be an object with a kind and a rank of one or more positive integers"
    if not isinstance(entry, dict) or not isinstance(kind := entry.get("kind"), str):
        raise RankfrontError(f"{rule}, but got {entry!r:.80}")
    rank = entry.get("rank")
    if kind == DENSE.kind and rank is None:
        return DENSE
    numbers = rank if isinstance(rank, list) else [rank]
    if kind == DENSE.kind or not 1 <= len(numbers) <= 8 or not all(type(n) is int and 1 <= n < 2**31 for n in numbers):
        raise RankfrontError(f"{rule}, but got {entry!r:.80}")
    return Choice(kind, tuple(rank) if isinstance(rank, list) else numbers[0])
