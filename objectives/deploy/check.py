"""The check of a file: what it gives in its own runtime, against what the network gives."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from ..boundary import sentence
from ..data.structure import mapped, tensors_of
from ..errors import RankfrontError
from .exporter import Session
from .network import in_order

TOLERANCE = 1e-2
"""By how much an output may differ, as a share of the largest. In float32 files differ by 1e-6 to 1e-4."""

TOLERANCE_INT8 = 0.5
"""The same where weights or activations are int8, of the root mean squares: the score tells what int8 costs, this
whether the file is of the same network."""


@dataclass(frozen=True)
class Difference:
    """By how much a file's outputs differ from the network's."""

    largest: float
    """The largest difference of two numbers."""
    of: float
    """The largest magnitude of an output."""
    mean_square: float
    """Root mean square of the difference, as a share of that of the outputs."""

    def __str__(self) -> str:
        return f"outputs differ by at most {self.largest:.2g}, where the largest is {self.of:.2g}"


@final
class Compared(nn.Module):
    """A network that gives what its file gives, and notes how far that is from its own outputs.

    Called on inputs on which the file does not run, or gives tensors of other shapes, it raises `RankfrontError`.
    """

    def __init__(self, model: nn.Module, session: Session, label: str) -> None:
        super().__init__()
        self.model = model
        self._session = session
        self._label = label
        self._largest = self._of = self._squares = self._own_squares = 0.0

        def forward(*arguments: Any, **keywords: Any) -> Any:
            return self._compared(arguments, keywords)

        # What a mapping of inputs is called with follows from the network's own signature.
        forward.__signature__ = inspect.signature(model.forward)  # pyright: ignore[reportFunctionMemberAccess]
        vars(self)["forward"] = forward

    @property
    def difference(self) -> Difference:
        """By how much all outputs so far differ."""
        share = (self._squares / self._own_squares) ** 0.5 if self._own_squares else self._squares
        return Difference(self._largest, self._of, share)

    def _compared(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Return the file's outputs in the network's structure.

        Raises:
            RankfrontError: the file does not run on these inputs, or gives tensors of other numbers or shapes.
        """
        own = self.model(*arguments, **keywords)
        expected = tensors_of(own)
        inputs = tensors_of((arguments, in_order(self.model, keywords)))
        try:
            found = self._session(inputs)
        except Exception as error:  # whatever a runtime raises
            sizes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs)
            raise RankfrontError(f"{self._label} does not run on inputs of shape {sizes}: {sentence(error)}") from error
        shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (found, expected)]
        if shapes[0] != shapes[1]:
            raise RankfrontError(f"{self._label} must give outputs of shapes {shapes[1]}, but gives {shapes[0]}")
        for ours, theirs in zip(found, expected, strict=True):
            self._note(ours, theirs)
        given = iter(found)
        return mapped(own, lambda tensor: next(given).to(tensor.dtype))

    def _note(self, found: Tensor, expected: Tensor) -> None:
        if not expected.numel():
            return
        ours, theirs = found.double(), expected.double()
        finite = torch.isfinite(theirs)
        apart = torch.where(ours == theirs, 0.0, (ours - theirs).abs())  # infinities of the same sign are the same
        apart = torch.where(ours.isnan() & theirs.isnan(), 0.0, apart).nan_to_num(nan=float("inf"))
        self._largest = max(self._largest, float(apart.max()))
        self._of = max(self._of, float(theirs[finite].abs().max()) if finite.any() else 0.0)
        self._squares += float(apart.square().sum())
        self._own_squares += float(theirs[finite].square().sum())


def check(difference: Difference, label: str, *, int8: bool) -> None:
    """Raise `RankfrontError` where a file's outputs are not the network's."""
    if int8 and not difference.mean_square <= TOLERANCE_INT8:
        raise RankfrontError(
            f"{label} must give what the network gives, but as int8 its outputs differ by "
            f"{100 * difference.mean_square:.0f} % (root mean square)"
        )
    if not int8 and not difference.largest <= TOLERANCE * max(difference.of, 1e-6):
        raise RankfrontError(f"{label} must give what the network gives, but its {difference}")
