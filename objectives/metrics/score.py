"""How good a network is on a split: accuracy, or a score of the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..data.split import Split
from ..data.structure import apply, join, length, place
from ..errors import RankfrontError, TrialError
from .scale import ACCURACY as ACCURACY_SCALE
from .scale import Scale

Batches = Iterable[tuple[Any, Any]]
"""Pairs ``(outputs, targets)``, on the CPU, as the model and the data gave them."""


@dataclass(frozen=True)
class Score:
    """One number that says how good a network is.

    ``of_batches`` gets the pairs one after the other, so a score that needs no more than sums holds no split in memory.
    """

    scale: Scale
    of_batches: Callable[[Batches], Any]

    @classmethod
    def of_split(
        cls,
        function: Callable[[Any, Any], Any],
        name: str = "score",
        *,
        higher_is_better: bool = True,
        proportion: bool = False,
        form: str = ".4g",
    ) -> Score:
        """Return the score ``function(outputs, targets)`` of a whole split, its batches joined.

        Args:
            function: returns one number.
            name: in tables, plots and files.
            higher_is_better: False for a loss, a perplexity, an error.
            proportion: whether it is the share of samples that are right (see `Scale`).
            form: how it is shown.
        """

        def of_batches(batches: Batches) -> Any:
            outputs, targets = zip(*batches, strict=True)
            return function(join(outputs), join(targets))

        return cls(Scale(name, higher_is_better, proportion, form), of_batches)

    def of(self, batches: Batches) -> float:
        """Return the score.

        Raises:
            RankfrontError: it is not one number.
            TrialError: it is not finite.
        """
        value = self.of_batches(batches)
        try:
            value = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise RankfrontError(f"a score must be one number, but got {value!r:.60}") from None
        if not math.isfinite(value):
            raise TrialError(f"a score must be a finite number, but got {value}")
        return value


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Return the share of samples whose largest output ``(N, classes)`` is the target ``(N,)``.

    >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    0.5
    """
    return _accuracy([(outputs, targets)])


def _accuracy(batches: Batches) -> float:
    right = total = 0
    for outputs, targets in batches:
        shapes = [tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__ for t in (outputs, targets)]
        if isinstance(shapes[0], str) or len(shapes[0]) != 2 or shapes[1] != shapes[0][:1]:
            raise RankfrontError(
                "accuracy needs outputs (N, classes) and targets (N,), "
                f"but got {shapes[0]} and {shapes[1]}: give the task a score of its own"
            )
        right += int((outputs.argmax(1) == targets).sum())
        total += len(targets)
    return right / total


ACCURACY = Score(ACCURACY_SCALE, _accuracy)


class Evaluation(NamedTuple):
    """A network's score on a split, and the number of samples that it was computed on."""

    score: float
    samples: int


@torch.no_grad()
def evaluate(
    model: nn.Module, data: Split, score: Score, *, device: torch.device | str = "cpu", batch_size: int = 512
) -> Evaluation:
    """Return a network's score on a split, in eval mode, without autocast, in full precision.

    Samples are counted as the score reads them: a loader may give fewer than its data has.

    Raises:
        TrialError: the score is not a finite number.
    """
    samples = 0

    def counted() -> Iterator[tuple[Any, Any]]:
        nonlocal samples
        for outputs, targets in _passed(model, data, device, batch_size):
            samples += length(targets)
            yield outputs, targets

    was_training = model.training
    model.eval()
    try:
        return Evaluation(score.of(counted()), samples)
    finally:
        model.train(was_training)


def _passed(model: nn.Module, data: Split, device: torch.device | str, batch_size: int) -> Iterator[tuple[Any, Any]]:
    """Yield outputs and targets, batch by batch; where memory does not suffice, in smaller parts."""
    parts = 1
    for batch in data.batches(batch_size, device=device):
        while True:
            try:
                passed = [place(apply(model, part.inputs), "cpu") for part in batch.parts(parts)]
                break
            except torch.OutOfMemoryError:
                if parts >= length(batch.targets):
                    raise
                parts *= 2
        targets = place(batch.targets, "cpu")
        yield (passed[0] if len(passed) == 1 else join(passed)), targets
