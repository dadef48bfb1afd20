"""What fine-tuning minimises, and how far a network is from the dense one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.structure import apply
from .distillation import SoftTargets, distillation_loss
from .settings import FineTune


def mixed_loss(
    outputs: Any, batch: Batch, *, loss: Callable[[Any, Any], Tensor], soft: SoftTargets, classes: bool, by: FineTune
) -> Tensor:
    """Return ``(1 - distill) · loss + distill · distance to the dense model``.

    Args:
        outputs: of the network on the batch.
        batch: of training data.
        loss: ``loss(outputs, targets)``.
        soft: the dense model's outputs.
        classes: whether outputs are logits (see `distillation_loss`).
        by: the settings; ``distill`` is the weight.
    """
    if by.distill == 0:
        return loss(outputs, batch.targets)
    distilled = distillation_loss(outputs, soft.of(batch), classes=classes, temperature=by.temperature)
    if by.distill == 1:
        return distilled
    return (1 - by.distill) * loss(outputs, batch.targets) + by.distill * distilled


@torch.no_grad()
def distance(model: nn.Module, dense: nn.Module, batches: Sequence[Batch], *, classes: bool) -> float:
    """Return the distillation loss at temperature 1, summed over batches; infinity where it is not finite."""
    was_training = model.training
    model.eval()
    total = 0.0
    for batch in batches:
        outputs, soft = apply(model, batch.inputs), apply(dense, batch.inputs)
        total += float(distillation_loss(outputs, soft, classes=classes, temperature=1.0))
    model.train(was_training)
    return total if math.isfinite(total) else math.inf
