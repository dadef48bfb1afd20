"""What fine-tuning minimises, and how far a network is from the dense one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.structure import apply
from ..errors import RankfrontError
from ..model.mode import in_mode
from ..model.outputs import described
from .criterion import Criterion
from .distillation import SoftTargets, distillation_loss
from .settings import FineTune


def mixed_loss(outputs: Any, batch: Batch, *, loss: Criterion, soft: SoftTargets, by: FineTune) -> Tensor:
    """Return ``(1 - distill) · loss + distill · distance to the dense model``.

    Args:
        outputs: of the network on the batch, in training.
        batch: of training data.
        loss: the true loss. It is taken alone where the outputs hold nothing that the dense model gives, too: such as
            those of torchvision's detection models, which in training are losses.
        soft: the dense model's outputs.
        by: the settings; ``distill`` is the weight.

    Raises:
        RankfrontError: ``distill`` is 1, and there is nothing to compare.
    """
    if by.distill == 0:
        return loss(outputs, batch.targets)
    theirs = soft.of(batch)
    distilled = _distance(outputs, theirs, batch, loss, by.temperature)
    if distilled is None and by.distill == 1:
        raise RankfrontError(
            "distillation alone needs outputs that training and evaluation have in common, but the model gave "
            f"{described(outputs)} in training and {described(theirs)} in evaluation: set finetune distill below 1"
        )
    if by.distill == 1 and distilled is not None:
        return distilled
    true = loss(outputs, batch.targets)
    return true if distilled is None else (1 - by.distill) * true + by.distill * distilled


@torch.no_grad()
def distance(model: nn.Module, dense: nn.Module, batches: Sequence[Batch], loss: Criterion) -> float:
    """Return the distillation loss at temperature 1, summed over batches; infinity where there is none."""
    with in_mode(model, training=False):
        total = sum(float(divergence(model, batch, dense, loss)) for batch in batches)
    return total if math.isfinite(total) else math.inf


def divergence(model: nn.Module, batch: Batch, dense: nn.Module, loss: Criterion) -> Tensor:
    """Return the distillation loss at temperature 1 on a batch, ``()``; infinity where nothing can be compared."""
    with torch.no_grad():
        soft = apply(dense, batch.inputs)
    found = _distance(apply(model, batch.inputs), soft, batch, loss, 1.0)
    return torch.tensor(math.inf) if found is None else found


def _distance(outputs: Any, soft: Any, batch: Batch, loss: Criterion, temperature: float) -> Tensor | None:
    return distillation_loss(
        outputs,
        soft,
        classes=loss.classifies(outputs, batch.targets),
        temperature=temperature,
        targets=batch.targets,
        ignored=loss.ignored,
    )
