"""Check that the loss takes what the model gives in training, and that something is learnt from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .checks import accepted, check_shapes, fits, otherwise
from .data.batch import Batch
from .data.few import Few
from .data.randomness import fixed_seed
from .data.structure import tensors_of
from .data.targets import check_classes
from .errors import RankfrontError
from .model.copying import copied
from .model.hints import of_targets
from .model.outputs import class_dimension, main_output
from .training.criterion import Criterion

if TYPE_CHECKING:
    from .task import Task


def check_loss(task: Task, dense: nn.Module, few: Few) -> None:
    """Try the loss on training batches, in training.

    Raises:
        RankfrontError: the model refuses the data or gives no finite numbers, or the loss refuses its outputs.
    """
    for batch in few.held:
        outputs = accepted(task, "training", dense, batch, lambda batch=batch: _in_training(task, dense, batch))
        pair = outputs, batch.targets
        fits("loss", lambda pair=pair: _of_loss(task.criterion, *pair), lambda pair=pair: _try_loss(task, dense, *pair))


def _of_loss(criterion: Criterion, outputs: Any, targets: Any) -> str:
    if criterion.takes_classes(outputs, targets):
        return of_targets(outputs, targets)
    if criterion.is_torchs:
        return ""
    return otherwise("loss", criterion, outputs, targets)


def _in_training(task: Task, dense: nn.Module, batch: Batch) -> Any:
    """Return the outputs that the loss gets, of a copy: a pass in training changes statistics.

    In eval mode where there is none in training: batch norm refuses a single value a channel.
    """
    try:
        with fixed_seed(0):
            return task.criterion.forward(copied(dense).train(), batch)
    except Exception:
        return task.criterion.forward(dense, batch)


def _try_loss(task: Task, dense: nn.Module, outputs: Any, targets: Any) -> None:
    """Raise `RankfrontError` where the loss is not one number that depends on the model's outputs."""
    criterion = task.criterion
    logits = main_output(outputs)
    if logits is not None and logits.ndim > 1 and criterion.classifies(outputs, targets):
        check_classes(task.train, logits.shape[class_dimension(outputs, targets)], criterion.ignored)
    value = criterion(outputs, targets)
    if not isinstance(value, Tensor) or value.numel() != 1:
        given = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise RankfrontError(f"the loss must return one number as a tensor, averaged over the batch, but gave {given}")
    if not bool(torch.isfinite(value).all()):
        raise RankfrontError(
            f"the loss of the dense model must be finite on the training data, but it is {float(value.detach())}"
        )
    trains = task.finetune.total_steps(task.train) > 0
    trained = [tensor for tensor in tensors_of(outputs) if tensor.requires_grad]
    if trains and trained and not _depends(value, trained):
        raise RankfrontError(
            "the loss must have a gradient with respect to the model's outputs, but has none (does it call .item()?)"
        )
    if trains and not trained and not value.requires_grad and any(p.requires_grad for p in dense.parameters()):
        raise RankfrontError(
            "the model's outputs must have a gradient in training, but have none (no_grad, inference_mode or "
            "detach() in its forward?): take that away, or train nothing by FineTune(epochs=0)"
        )
    check_shapes("loss", criterion, outputs, targets)


def _depends(value: Tensor, tensors: list[Tensor]) -> bool:
    """Return whether a value has a gradient with respect to any of the tensors."""
    if not value.requires_grad:
        return False
    try:
        found = torch.autograd.grad(value, tensors, retain_graph=True, allow_unused=True)
    except Exception:  # as reentrant checkpoints refuse it, which backward() passes: the training step tries that
        return True
    return any(gradient is not None for gradient in found)
