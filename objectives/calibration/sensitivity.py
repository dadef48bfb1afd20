"""Which changes of a network's outputs count: a random scalar of the outputs, whose gradient at a layer tells.

- ``outputs``: ``Σ v · z`` with ``v`` standard normal. The expected square of its change is the squared change of the
  outputs ``z``; of a classifier's logits less their mean over classes, since softmax does not see that. No labels.
- ``fisher``: cross entropy with targets drawn from the network's own softmax. The expected square of its change is,
  for small changes, twice the divergence of what the network predicts (the true Fisher information).
- A function of the user's: ``sensitivity(outputs)`` returns such a scalar, summed over samples. Its sign must be random
  from sample to sample; torch's random numbers are seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..boundary import in_users_code
from ..data.randomness import fixed_seed
from ..data.structure import tensors_of
from ..described import shown
from ..errors import RankfrontError
from ..model.outputs import class_dimension, main_output

Sensitivity = Literal["auto", "outputs", "fisher", "none"] | Callable[[Any], Tensor]
"""What a task may say."""

NAMES = ("auto", "outputs", "fisher", "none")


def scalar_of(sensitivity: Sensitivity, outputs: Any, targets: Any, *, classifies: bool) -> Tensor:
    """Return the scalar of a batch whose gradient is taken, ``()``.

    Args:
        sensitivity: which; ``auto`` is ``fisher`` for logits of every position, ``outputs`` for any other.
        outputs: as the model gave them.
        targets: of the batch; only their shape is looked at, which tells where classes are.
        classifies: whether the main output is logits of classes.

    Raises:
        RuntimeError: the outputs hold nothing to differentiate.
    """
    if not isinstance(sensitivity, str):
        with in_users_code("the sensitivity", outputs):
            return sensitivity(outputs)
    if chosen(sensitivity, outputs, classifies=classifies) == "fisher":
        rows = _logits(outputs, targets).flatten(0, -2)
        return functional.cross_entropy(rows, _drawn(rows.detach()), reduction="sum")
    return _projected(_counted(outputs, targets, classifies=classifies))


def change(sensitivity: Sensitivity, ours: Any, dense: Any, targets: Any, *, classifies: bool) -> Tensor:
    """Return what errors cost a batch, ``()``: the expected square of its scalar's change, summed over samples.

    NaN where the two networks' outputs cannot be compared, such as other numbers of boxes found in an image.

    Args:
        sensitivity: as of `scalar_of`.
        ours: outputs of a network with errors.
        dense: those of the dense one.
        targets: of the batch.
        classifies: as of `scalar_of`.
    """
    if not isinstance(sensitivity, str):
        with in_users_code("the sensitivity", ours):
            scalars = []
            for outputs in (ours, dense):
                with fixed_seed(0):  # the same random signs
                    scalars.append(sensitivity(outputs))
            return (scalars[0] - scalars[1]).square()
    if chosen(sensitivity, dense, classifies=classifies) == "fisher":
        pairs = zip(_logits(ours, targets), _logits(dense, targets), strict=True)  # one by one: a vocabulary is large
        return torch.stack([2 * _divergence(sample, theirs) for sample, theirs in pairs]).sum()
    counted, theirs = (_counted(outputs, targets, classifies=classifies) for outputs in (ours, dense))
    if [tensor.shape for tensor in counted] != [tensor.shape for tensor in theirs]:
        return torch.tensor(torch.nan)
    return torch.stack([(a - b).square().sum() for a, b in zip(counted, theirs, strict=True)]).sum()


def chosen(sensitivity: Sensitivity | str, outputs: Any, *, classifies: bool) -> str:
    """Return which it is: ``auto`` is one of the others; ``fisher`` needs logits; a function's name."""
    if sensitivity not in ("auto", "fisher"):
        return name_of(sensitivity)
    main = main_output(outputs)
    if not classifies or main is None or main.ndim < 2:
        return "outputs"
    return "fisher" if sensitivity == "fisher" or main.ndim > 2 else "outputs"


def check_sensitivity(given: object) -> None:
    """Raise `RankfrontError` for what is neither a name nor a function."""
    if given not in NAMES if isinstance(given, str) else not callable(given):
        raise RankfrontError(
            f"sensitivity must be one of {', '.join(NAMES)}, or a function sensitivity(outputs), but got {shown(given)}"
        )


def name_of(sensitivity: Sensitivity | str) -> str:
    """Return what a sensitivity is called in manifests."""
    return (
        sensitivity
        if isinstance(sensitivity, str)
        else getattr(sensitivity, "__qualname__", type(sensitivity).__name__)
    )


def _logits(outputs: Any, targets: Any) -> Tensor:
    """Return the main output ``(…, classes)``."""
    main = main_output(outputs)
    assert main is not None
    return main.float().movedim(class_dimension(outputs, targets), -1)


def _counted(outputs: Any, targets: Any, *, classifies: bool) -> list[Tensor]:
    """Return ``z`` of the sensitivity ``outputs``."""
    main = main_output(outputs)
    if main is None or not main.is_floating_point():
        return [tensor for tensor in tensors_of(outputs) if tensor.is_floating_point()]
    if not classifies or main.ndim < 2:
        return [main]
    logits = _logits(outputs, targets)
    return [logits - logits.mean(-1, keepdim=True)]


def _divergence(ours: Tensor, dense: Tensor) -> Tensor:
    return functional.kl_div(ours.log_softmax(-1), dense.log_softmax(-1), reduction="sum", log_target=True)


def _drawn(logits: Tensor) -> Tensor:
    """Return a class of each row's softmax ``(n,)``; of a large vocabulary much faster than ``torch.multinomial``."""
    up_to = logits.softmax(-1).cumsum(-1)
    found = torch.searchsorted(up_to, up_to[:, -1:] * (1 - torch.rand_like(up_to[:, :1])))  # never one of probability 0
    return found[:, 0].clamp(max=logits.shape[-1] - 1)  # where logits are not finite none is found


def _projected(tensors: list[Tensor]) -> Tensor:
    if not tensors:
        raise RuntimeError("its outputs hold no floating-point tensor")
    return torch.stack([(tensor * torch.randn_like(tensor)).sum() for tensor in tensors]).sum()
