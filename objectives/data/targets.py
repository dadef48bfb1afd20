"""What a classifier's targets must be."""

from __future__ import annotations

from torch import Tensor

from ..errors import RankfrontError
from .split import Split

IGNORED_BY = "the loss's ignore_index, as of torch.nn.CrossEntropyLoss(ignore_index=…), says which one is not counted"


def check_classes(data: Split, classes: int, ignored: int) -> None:
    """Refuse targets that are no class from 0 to ``classes - 1`` nor the ``ignored`` one, where all are at hand."""
    held = data.source[-1] if data.indexed else None
    if isinstance(held, Tensor) and not held.is_floating_point():
        check_labels(held[held != ignored], classes)


def check_labels(labels: Tensor, classes: int) -> None:
    """Refuse labels ``(N,)``, those that are counted, of which one is no class from 0 to ``classes - 1``."""
    if not len(labels):
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        counted_from_1 = low == 1 and high == classes
        hint = "counted from 1? give targets - 1" if counted_from_1 else IGNORED_BY
        raise RankfrontError(
            f"targets must be classes from 0 to {classes - 1}, as many as the model's outputs, "
            f"but go from {low} to {high}: {hint}"
        )
