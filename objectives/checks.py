"""What a task's parts must make of each other, tried before anything takes long."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .data.split import Split
from .data.structure import apply
from .errors import RankfrontError
from .metrics.score import ACCURACY, accuracy

if TYPE_CHECKING:
    from .task import Task


@torch.no_grad()
def check_loss_and_score(task: Task, dense: nn.Module) -> None:
    """Try the loss on two training samples, and accuracy on two of validation, before anything takes long.

    Args:
        task: whose loss, score and data are tried.
        dense: its model, on the CPU, in eval mode.

    Raises:
        RankfrontError: the model refuses the data or gives no finite numbers, or the loss or score refuses its outputs.
    """
    tried: list[tuple[str, str, Split, Callable[[Any, Any], Any]]] = [
        ("loss", "training", task.train, task.loss or functional.cross_entropy)
    ]
    if task.score is ACCURACY:
        tried.append(("score", "validation", task.validation, accuracy))
    for name, data, split, function in tried:
        for batch in split.batches(2, limit=2):
            try:
                outputs = apply(dense, batch.inputs)
            except Exception as error:
                raise RankfrontError(f"the model must accept a sample of the {data} data, but: {error}") from error
            if isinstance(outputs, Tensor) and not bool(torch.isfinite(outputs).all()):
                raise RankfrontError(
                    f"the model must give finite outputs on the {data} data, but gave NaN or infinity: look for it "
                    "in the inputs, the weights and the running statistics of batch norm"
                )
            try:
                function(outputs, batch.targets)
            except RankfrontError:
                raise
            except Exception as error:
                raise RankfrontError(
                    f"the {name} must accept the model's outputs and the data's targets, "
                    f"but: {type(error).__name__}: {error}"
                ) from error
            if name == "loss" and task.classifies and isinstance(outputs, Tensor):
                split.check_classes(outputs.shape[1], getattr(task.loss, "ignore_index", -100))
