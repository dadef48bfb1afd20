"""What one network costs: an amount a metric.

>>> costs = Metrics(params=8, flops=12)
>>> costs.params, costs["flops"], dict(costs)
(8, 12, {'params': 8, 'flops': 12})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import final


@final
class Metrics(Mapping[str, float]):
    """An immutable mapping from a metric's name to its amount; names are attributes, too.

    A study that was run before a metric existed has no amount of it.
    """

    __slots__ = ("_amounts",)
    _amounts: dict[str, float]

    def __init__(self, amounts: Mapping[str, float] | None = None, /, **more: float) -> None:
        object.__setattr__(self, "_amounts", {**(amounts or {}), **more})

    def __getitem__(self, name: str) -> float:
        return self._amounts[name]

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name not in self._amounts:
            raise AttributeError(f"there is no amount of metric {name!r}")
        return self._amounts[name]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("metrics cannot be changed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._amounts)

    def __len__(self) -> int:
        return len(self._amounts)

    def __hash__(self) -> int:
        return hash(frozenset(self._amounts.items()))

    def __reduce__(self) -> tuple[type[Metrics], tuple[dict[str, float]]]:
        return Metrics, (self._amounts,)

    def __repr__(self) -> str:
        return f"Metrics({', '.join(f'{name}={amount!r}' for name, amount in self.items())})"
