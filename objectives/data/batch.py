"""A batch of samples: inputs and targets, each of any structure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

from .structure import Inputs, cut, length


@dataclass(frozen=True)
class Batch:
    """Inputs ``(N, …)``, targets ``(N, …)``; ``index`` ``(N,)`` says which samples, where that is known."""

    inputs: Inputs
    targets: Any
    index: Tensor | None = None

    def __getitem__(self, part: slice) -> Batch:
        """Return some of the samples."""
        index = None if self.index is None else self.index[part]
        return Batch(cut(self.inputs, part), cut(self.targets, part), index)

    def parts(self, count: int) -> list[Batch]:
        """Cut into so many parts, as equal as can be; fewer if there are fewer samples."""
        if count == 1:
            return [self]
        n = length(self.targets)
        ends = [n * i // count for i in range(count + 1)]
        return [self[a:b] for a, b in pairwise(ends) if a < b]
