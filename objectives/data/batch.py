"""A batch of samples: inputs and targets, each of any structure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

from ..errors import RankfrontError
from .samples import Part, axis_of, can_cut, count, cut, told
from .structure import Inputs, tensors_of


@dataclass(frozen=True)
class Batch:
    """Inputs ``(N, …)``, targets ``(N, …)``; ``index`` ``(N,)`` says which samples, where that is known.

    With ``dim`` 1 tensors are ``(…, N, …)`` where they have such a dimension, as in sequence-first models.
    """

    inputs: Inputs
    targets: Any
    index: Tensor | None = None
    dim: int = 0

    @property
    def samples(self) -> int:
        """The number of samples: that of the targets, or of the inputs where targets tell none.

        Raises:
            RankfrontError: neither tells.
        """
        for item in (self.targets, self.inputs):
            if (found := count(item, self.dim)) is not None:
                return found
        raise RankfrontError(
            "a batch must hold a tensor or a list that tells its number of samples, "
            f"but its inputs are {told(self.inputs)}, its targets {told(self.targets)}"
        )

    def can_cut(self) -> tuple[bool, str]:
        """Return ``(True, "")`` where some of the samples can be taken, else False and why not."""
        n = self.samples
        for what, item in (("inputs", self.inputs), ("targets", self.targets)):
            possible, reason = can_cut(item, n, self.dim)
            if not possible:
                return False, reason
            tensors = [tensor for tensor in tensors_of(item) if tensor.ndim]
            found = count(item, self.dim)
            if found not in (None, n) and not any(axis_of(tensor, n, self.dim) is not None for tensor in tensors):
                return False, f"the {what} hold {found} samples, not {n}"
        return True, ""

    def __getitem__(self, part: Part) -> Batch:
        """Return some of the samples; the batch itself where it cannot be cut."""
        if not self.can_cut()[0]:
            return self
        n = self.samples
        index = None if self.index is None else self.index[part]
        inputs, targets = (cut(item, part, self.dim, n) for item in (self.inputs, self.targets))
        return Batch(inputs, targets, index, self.dim)

    def parts(self, count: int) -> list[Batch]:
        """Cut into so many parts, as equal as can be; fewer if there are fewer samples, one if it cannot be cut."""
        if count == 1 or not self.can_cut()[0]:
            return [self]
        n = self.samples
        ends = [n * i // count for i in range(count + 1)]
        return [self[a:b] for a, b in pairwise(ends) if a < b]
