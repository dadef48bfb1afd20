"""Check that model, data, loss and score fit together, before anything takes long."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .data.split import Split
from .data.structure import apply, tensors_of
from .errors import RankfrontError
from .metrics.score import ACCURACY, evaluate

if TYPE_CHECKING:
    from .kinds.kind import Kind
    from .model.finding import Layers
    from .task import Task

LOSS_SAMPLES, SCORE_SAMPLES = 2, 16
"""Samples that the loss and the score are tried on: they limit the time that the check takes."""


def check_some_layer_saves(layers: Layers, kinds: Mapping[str, tuple[Kind, ...]]) -> None:
    """Raise `RankfrontError` where no kind makes any layer smaller.

    Args:
        layers: the model's layers.
        kinds: those that apply to each layer, by the layer's name.
    """
    for layer in layers:
        if any(kind.cost(layer, kind.smallest(layer)).params < layer.params for kind in kinds[layer.name]):
            return
    reasons = "; ".join(f"{name}: {why}" for name, why in list(layers.left_dense.items())[:3])
    raise RankfrontError(
        "the model must have a Linear or convolution that a factorization makes smaller, but has none"
        + (f" ({reasons})" if reasons else "")
    )


@torch.no_grad()
def check_loss_and_score(task: Task, dense: nn.Module) -> None:
    """Try the loss on a few training samples and the score on a few validation samples.

    A score of the user's own may fail because the samples are few, such as one that needs samples of every class. Where
    it fails it is computed on all of the validation data, and only if it fails there, too, the error is raised.

    Args:
        task: whose loss, score and data are tried.
        dense: its model, on the CPU, in eval mode.

    Raises:
        RankfrontError: the model refuses the data or gives no finite numbers, or the loss or score refuses its outputs.
    """

    def score(outputs: Any, targets: Any) -> None:
        try:
            task.score.of([(outputs, targets)])
        except Exception:
            if task.score is ACCURACY:
                raise
            evaluate(dense, task.validation, task.score)

    tried: list[tuple[str, str, Split, int, Callable[[Any, Any], Any]]] = [
        ("loss", "training", task.train, LOSS_SAMPLES, functools.partial(_try_loss, task)),
        ("score", "validation", task.validation, SCORE_SAMPLES, score),
    ]
    for name, data, split, samples, function in tried:
        for batch in split.batches(samples, limit=samples):
            try:
                with torch.set_grad_enabled(name == "loss"):
                    outputs = apply(dense, batch.inputs)
            except Exception as error:
                raise RankfrontError(f"the model must accept a sample of the {data} data, but: {error}") from error
            if isinstance(outputs, Tensor) and not bool(torch.isfinite(outputs).all()):
                raise RankfrontError(
                    f"the model must give finite outputs on the {data} data, but gave NaN or infinity: look for it "
                    "in the inputs, the weights and the running statistics of batch norm"
                )
            try:
                with torch.set_grad_enabled(name == "loss"):
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


def _try_loss(task: Task, outputs: Any, targets: Any) -> None:
    """Raise `RankfrontError` where the loss is not one number that depends on the model's outputs."""
    loss = task.loss or functional.cross_entropy
    value = loss(outputs, targets)
    if not isinstance(value, Tensor) or value.numel() != 1:
        given = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise RankfrontError(f"the loss must return one number as a tensor, averaged over the batch, but gave {given}")
    trains = task.finetune.total_steps(task.train) > 0
    if trains and not value.requires_grad and any(tensor.requires_grad for tensor in tensors_of(outputs)):
        raise RankfrontError(
            "the loss must have a gradient with respect to the model's outputs, but has none (does it call .item()?)"
        )
