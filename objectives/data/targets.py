"""What a split's targets must be."""

from __future__ import annotations

from torch import Tensor

from ..errors import RankfrontError
from .split import Split


def check_classes(data: Split, classes: int, ignored: int) -> None:
    """Refuse targets that are no class from 0 to ``classes - 1`` nor the ``ignored`` one, where all are at hand."""
    held = data.source[-1] if data.indexed else None
    if not isinstance(held, Tensor) or held.is_floating_point():
        return
    targets = held[held != ignored]
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise RankfrontError(
            f"targets must be classes from 0 to {classes - 1}, as many as the model's outputs, "
            f"but go from {int(targets.min())} to {int(targets.max())}"
        )
