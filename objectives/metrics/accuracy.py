"""The default score: the share of predictions that are right."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from ..data.targets import check_labels
from ..errors import RankfrontError, TrialError
from ..model.outputs import IGNORED, by_position, described, labels_of, main_output
from .measured import Measured
from .pair import Batches


def accuracy(outputs: Any, targets: Any) -> float:
    """Return the share of samples (or positions) whose largest output is the target.

    Args:
        outputs: logits ``(N, classes)``, ``(N, classes, …)`` or ``(N, T, classes)``, or a structure with such a main
            output (see `main_output`, `class_dimension`).
        targets: ``(N,)``, ``(N, …)`` or ``(N, T)``; those of class -100 are not counted.

    >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    0.5
    """
    return right_of([(outputs, targets)]).value


def right_of(batches: Batches, ignored: Collection[int] = (IGNORED,)) -> Measured:
    """Return the share of predictions that are right, and how many were counted.

    Raises:
        RankfrontError: outputs are no logits of the targets' classes, or every target is ignored.
        TrialError: outputs that are counted hold NaN.
    """
    right = total = 0
    for outputs, targets in batches:
        matched = by_position(outputs, targets)
        if matched is None or matched[0].shape[-1] < 2:
            raise RankfrontError(_refusal(outputs, targets))
        logits, labels = matched
        largest, classes = logits.max(-1)
        counted = torch.ones_like(labels, dtype=torch.bool)
        for one in ignored:
            counted &= labels != one
        check_labels(labels[counted], logits.shape[-1])
        if bool((largest.isnan() & counted).any()):  # which are larger than any number, so of the first NaN's class
            raise TrialError(
                "accuracy needs outputs that are numbers, but some are NaN: look for it in the inputs and the weights"
            )
        right += int(((classes == labels) & counted).sum())
        total += int(counted.sum())
    if not total:
        raise RankfrontError(
            "accuracy needs targets that are counted, but every one is ignored (or there is none): give validation and "
            f"test data with other classes than {', '.join(map(str, ignored))}, or a score of your own"
        )
    return Measured(right / total, total)


def _refusal(outputs: Any, targets: Any) -> str:
    main, labels = main_output(outputs), labels_of(targets)
    got = described(outputs if main is None else main)
    why = ""
    if main is not None and isinstance(labels, Tensor):
        if labels.shape == main.shape and main.ndim > 1:
            why = " (of several labels a sample, or a regression?)"
        elif main.ndim == 1 or 1 in (main.shape[1], main.shape[-1]):
            why = " (of two classes with one output, or a regression?)"
    return (
        "accuracy needs outputs (N, classes) and targets (N,), or more dimensions in both, "
        f"but got {got} and {described(labels)}{why}: give the task a score of its own, such as one of torchmetrics"
    )
