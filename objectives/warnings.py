"""What works, but hardly as it was meant: warnings on data and model, seen on a few samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .data.calling import left_out
from .data.content import fingerprints_of
from .data.few import Few
from .data.structure import apply, place, tensors_of
from .metrics.scale import Scale
from .metrics.sums import sums_up
from .metrics.whole_split import WholeSplit
from .model.independent import Foreign
from .model.outputs import class_dimension, main_output
from .model.same import same, tolerance
from .task import DEFAULT_CALIBRATION

if TYPE_CHECKING:
    from .data.split import Split
    from .task import Task

FEW_SAMPLES = 50
"""A validation split of fewer samples hardly tells two plans apart: one sample is 2 % of an accuracy."""

LEAST_TOLERANCE = 1e-2
"""Relative difference of a sample's outputs that is rounding whatever their type: GPUs compute float32 by TF32."""

ERRORS = ("loss", "error", "mse", "mae", "rmse", "perplexity", "divergence", "distance")
"""Of a function whose name ends so, less is better, mostly."""

FUNCTION = Scale("score")
"""How a function reads that is given as the score by itself, without a direction."""


def warnings_on(task: Task, dense: nn.Module, train: Few, validation: Few) -> Iterator[str]:
    """Yield warnings, each a sentence; what cannot be found out yields none.

    Args:
        task: the task.
        dense: its model, in eval mode, where the batches are.
        train: batches of training data.
        validation: batches of validation data.
    """
    checks: tuple[Callable[[], str], ...] = (
        lambda: _small(task),
        lambda: _same_data(task, train, validation),
        lambda: _calibration(task),
        lambda: _left_out(dense, train),
        lambda: _direction(task),
        lambda: _own_parameters(task),
        lambda: _summed(task, dense, train),
        lambda: _probabilities(task, dense, validation),
        lambda: _depends(dense, validation),
        lambda: _unregistered(dense, validation),
    )
    for check in checks:
        if said := check():
            yield said


@torch.no_grad()
def at_chance(task: Task, dense: nn.Module, accuracy: float, samples: int) -> str:
    """Return a warning where a dense model's accuracy is that of guessing; nothing where it is no accuracy."""
    if not task.score_is_default or samples < 1:
        return ""
    labels = task.validation.source[-1] if task.validation.indexed else None
    if isinstance(labels, Tensor) and labels.ndim == 1 and not labels.is_floating_point():
        share, what = labels.unique(return_counts=True)[1].max().item() / len(labels), "the most frequent class alone"
    else:
        device = next((p.device for p in dense.parameters()), torch.device("cpu"))
        found = main_output(apply(dense, place(task.validation.example(), device)))
        if found is None or found.ndim != 2:
            return ""
        share, what = 1 / found.shape[1], f"guessing one of {found.shape[1]} classes"
    if accuracy > share + 2 * math.sqrt(share * (1 - share) / samples):
        return ""
    return (
        f"the dense model's accuracy on the validation data, {100 * accuracy:.3g} %, is hardly better than that of "
        f"{what}, {100 * share:.3g} %: is it trained, are its inputs prepared, and its classes numbered as in training?"
    )


def _small(task: Task) -> str:
    samples = task.validation.size
    if samples is None or samples >= FEW_SAMPLES:
        return ""
    share = f": one of them is {100 / samples:.2g} % of the score" if task.score.scale.proportion else ""
    return f"the validation data has {samples} sample{'s' * (samples != 1)}{share}, too few to tell plans apart"


def _same_data(task: Task, train: Few, validation: Few) -> str:
    if task.train.size is None or task.train.size != task.validation.size:
        return ""
    own = task.train.source is task.validation.source or _equal(task.train, task.validation)
    alike = own or all(
        _alike(tensors_of(a.inputs), tensors_of(b.inputs)) for a, b in zip(train.held, validation.held, strict=False)
    )
    return (
        "training and validation data are the same samples: the scores say how well they are remembered, "
        "so give data for validation that is not trained on"
        if alike
        else ""
    )


def _equal(one: Split, other: Split) -> bool:
    first, second = fingerprints_of(one), fingerprints_of(other)
    return first is not None and second is not None and first[0] == second[0]


def _alike(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return len(ours) == len(theirs) > 0 and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def _calibration(task: Task) -> str:
    samples = task.train.size
    if samples is None or task.calibration == DEFAULT_CALIBRATION or task.calibration <= samples:
        return ""
    return f"calibration is to have {task.calibration:,} samples, but the training data has {samples:,}: all are used"


def _left_out(dense: nn.Module, train: Few) -> str:
    keys = left_out(dense, train.held[0].inputs)
    return (
        f"the model's forward does not take {', '.join(map(repr, keys))} of a batch: it is called without"
        if keys
        else ""
    )


def _direction(task: Task) -> str:
    score = task.score.of_batches
    if task.score.scale != FUNCTION or not isinstance(score, WholeSplit):
        return ""
    own = getattr(score.function, "__name__", type(score.function).__name__)
    if not own.lower().endswith(ERRORS):
        return ""
    return (
        f"score {own} is taken as higher is better, though its name is that of an error: "
        f"rankfront.Score.of_split({own}, NAME, higher_is_better=…) says which"
    )


def _own_parameters(task: Task) -> str:
    own = task.loss.parameters() if isinstance(task.loss, nn.Module) else ()
    trained = sum(parameter.numel() for parameter in own if parameter.requires_grad)
    return (
        f"the loss, {type(task.loss).__name__}, has {trained:,} parameters of its own: they stay as they are, since "
        "only the network's are trained"
        if trained
        else ""
    )


@torch.no_grad()
def _summed(task: Task, dense: nn.Module, train: Few) -> str:
    batch = train.held[0]
    if task.loss == "model" or not sums_up(
        task.criterion, apply(dense, batch.inputs), batch.targets, batch.samples, batch.dim
    ):
        return ""
    return (
        "the loss of a batch is a sum: of every sample twice it is twice as large; give its mean, by which learning "
        "rate, clipping and distillation are set (reduction='mean' in torch's losses)"
    )


@torch.no_grad()
def _probabilities(task: Task, dense: nn.Module, validation: Few) -> str:
    """Return a warning on a cross entropy of probabilities, and on a loss of log-probabilities that gets none."""
    batch = validation.held[0]
    outputs = apply(dense, batch.inputs)
    main = main_output(outputs)
    if main is None or main.ndim < 2 or not task.criterion.takes_classes(outputs, batch.targets):
        return ""
    classes = main.double().movedim(class_dimension(outputs, batch.targets), -1)
    if task.loss == "model" or classes.shape[-1] < 2:
        return ""
    if task.criterion.is_cross_entropy:
        if bool((classes < 0).any()) or not _are_ones(classes.sum(-1)):
            return ""
        return "the loss, a cross entropy, takes logits, but the model gives probabilities (a softmax at its end?)"
    if _are_ones(classes.exp().sum(-1)):
        return ""
    return "the loss takes log-probabilities, but the model gives none: give loss=torch.nn.CrossEntropyLoss()"


def _are_ones(sums: Tensor) -> bool:
    return bool((sums - 1).abs().max() < LEAST_TOLERANCE)


@torch.no_grad()
def _depends(dense: nn.Module, validation: Few) -> str:
    """Return a warning on a model whose output on a sample is another one each time, or in another batch."""
    batch = validation.held[0]
    if batch.samples < 2 or not batch.can_cut()[0]:
        return ""
    first, again = (_main(dense, batch.inputs) for _ in range(2))
    if first is None or again is None or batch.dim >= first.ndim:
        return ""
    rounding = max(LEAST_TOLERANCE, tolerance([first, *dense.parameters()]))
    if not same([first], [again], rounding):
        return (
            "the model gives other outputs each time it is asked, in eval mode, too (dropout or other random numbers "
            "that eval() does not switch off?): scores will scatter"
        )
    alone = _main(dense, batch[:1].inputs)
    ours = first.narrow(batch.dim, 0, 1)
    if alone is None or alone.shape != ours.shape or same([ours], [alone], rounding):
        return ""
    return (
        "the model's output on a sample depends on the others in its batch, in eval mode, too (a batch norm that uses "
        "the batch's statistics?): scores depend on the batch size"
    )


@torch.no_grad()
def _unregistered(dense: nn.Module, validation: Few) -> str:
    """Return a warning on a model that computes with a parameter that it does not hold."""
    with Foreign([*dense.parameters(), *dense.buffers()]) as foreign:
        apply(dense, validation.held[0].inputs)
    if foreign.unregistered is None:
        return ""
    return (
        f"the model computes with a parameter {tuple(foreign.unregistered.shape)} that is not registered in it (of a "
        "module in a list or a dict, or made in forward?): nothing counts, factorizes, trains or saves it, "
        "nn.ModuleList and nn.ModuleDict register modules"
    )


def _main(model: nn.Module, inputs: Any) -> Tensor | None:
    found = main_output(apply(model, inputs))
    return found if found is not None and found.ndim and found.is_floating_point() else None
