"""Check that model, data, loss and score fit together, before anything takes long."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .boundary import sentence
from .data.batch import Batch
from .data.randomness import fixed_seed
from .data.structure import apply, tensors_of
from .data.targets import check_classes
from .errors import RankfrontError
from .metrics.broadcast import broadcasts
from .metrics.evaluation import evaluate
from .metrics.pair import Pair
from .metrics.whole_split import check_memory
from .model.outputs import class_dimension, main_output

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


def check_loss_and_score(task: Task, dense: nn.Module, batch_size: int) -> None:
    """Try the loss on a few training samples, in training, and the score on a few validation samples, in evaluation.

    A score of the user's own may fail because the samples are few, such as one that needs samples of every class. Where
    it fails it is computed on all of the validation data, and only if it fails there, too, the error is raised.

    Args:
        task: whose loss, score and data are tried.
        dense: its model, on the CPU, in eval mode.
        batch_size: largest batch of the passes without gradients.

    Raises:
        RankfrontError: the model refuses the data or gives no finite numbers, or the loss or score refuses its outputs.
    """
    _check_ends(task, batch_size)
    for batch in task.train.batches(LOSS_SAMPLES, limit=LOSS_SAMPLES):
        outputs = _accepted("training", lambda batch=batch: _in_training(task, dense, batch))
        _fits("loss", lambda outputs=outputs, batch=batch: _try_loss(task, outputs, batch.targets))
    samples = min(SCORE_SAMPLES, batch_size)
    with torch.no_grad():
        for batch in task.validation.batches(samples, limit=samples):
            outputs = _accepted("validation", lambda batch=batch: apply(dense, batch.inputs))
            _fits("score", lambda outputs=outputs, batch=batch: _try_score(task, dense, outputs, batch, batch_size))


def _check_ends(task: Task, batch_size: int) -> None:
    """Raise `RankfrontError` where data that is to be read to its end has none."""
    checks: dict[str, Callable[[], object]] = {
        "training": lambda: task.finetune.total_steps(task.train),
        "validation": lambda: task.validation.check_ends(batch_size),
    }
    for name, check in checks.items():
        try:
            check()
        except RankfrontError as error:
            raise RankfrontError(f"{name} {error}") from None


def _accepted(data: str, run: Callable[[], Any]) -> Any:
    try:
        outputs = run()
    except RankfrontError:
        raise
    except Exception as error:
        raise RankfrontError(f"the model must accept a sample of the {data} data, but: {sentence(error)}") from error
    main = main_output(outputs)
    if main is not None and not bool(torch.isfinite(main).all()):
        raise RankfrontError(
            f"the model must give finite outputs on the {data} data, but gave NaN or infinity: look for it "
            "in the inputs, the weights and the running statistics of batch norm"
        )
    return outputs


def _fits(name: str, run: Callable[[], None]) -> None:
    try:
        run()
    except RankfrontError:
        raise
    except Exception as error:
        raise RankfrontError(
            f"the {name} must accept the model's outputs and the data's targets, but: {sentence(error)}"
        ) from error


def _in_training(task: Task, dense: nn.Module, batch: Batch) -> Any:
    """Return the outputs that the loss gets, of a copy: a pass in training changes statistics.

    In eval mode where there is none in training: batch norm refuses a single value a channel.
    """
    try:
        with fixed_seed(0):
            copied = copy.deepcopy(dense)
            copied.train()
            return task.criterion.forward(copied, batch)
    except Exception:
        return task.criterion.forward(dense, batch)


def _try_loss(task: Task, outputs: Any, targets: Any) -> None:
    """Raise `RankfrontError` where the loss is not one number that depends on the model's outputs."""
    criterion = task.criterion
    value = criterion(outputs, targets)
    if not isinstance(value, Tensor) or value.numel() != 1:
        given = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise RankfrontError(f"the loss must return one number as a tensor, averaged over the batch, but gave {given}")
    trains = task.finetune.total_steps(task.train) > 0
    if trains and not value.requires_grad and any(tensor.requires_grad for tensor in tensors_of(outputs)):
        raise RankfrontError(
            "the loss must have a gradient with respect to the model's outputs, but has none (does it call .item()?)"
        )
    _check_shapes("loss", criterion, outputs, targets)
    logits = main_output(outputs)
    if logits is not None and criterion.classifies(outputs, targets):
        check_classes(task.train, logits.shape[class_dimension(outputs, targets)], criterion.ignored)


def _try_score(task: Task, dense: nn.Module, outputs: Any, batch: Batch, batch_size: int) -> None:
    score = task.score
    if score.keeps_outputs:
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors_of((outputs, batch.targets)))
        check_memory(size, batch.samples, task.validation.size)
    try:
        score.of([Pair(outputs, batch.targets, batch.samples)])
    except Exception:
        if task.score_is_default:
            raise
        evaluate(dense, task.validation, score, batch_size=batch_size)
    _check_shapes("score", lambda outputs, targets: score.of([(outputs, targets)]), outputs, batch.targets)


def _check_shapes(name: str, function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> None:
    found, shapes = broadcasts(function, outputs, targets)
    if found:
        raise RankfrontError(
            f"the {name} must compare every sample with its own target, but torch broadcasts {shapes}: "
            f"give the targets the outputs' shape (such as y[:, None]), or squeeze the outputs in the {name}"
        )
