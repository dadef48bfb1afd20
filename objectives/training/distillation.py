"""Soft targets: the dense model's outputs on each training sample (Hinton et al., 2015), and the distance to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.batch import Batch
from ..data.split import Split
from ..data.structure import apply, full_precision, parts_of
from ..device import autocast
from ..model.mode import in_eval
from ..model.outputs import IGNORED, by_position, class_dimension, main_output, named_output

MEMORY_LIMIT = 2**31
"""Bytes of soft targets that are kept; beyond that they are computed anew for each batch."""


class SoftTargets:
    """The dense model's outputs, computed once where the data is the same at every step.

    Of a structured output only the main one is kept, where it is named (``logits``, ``out``).

    Args:
        dense: the dense model.
        data: the training split.
        batch_size: of the passes that compute them.
    """

    def __init__(self, dense: nn.Module, data: Split, batch_size: int) -> None:
        self.dense = dense
        self.data = data
        self.batch_size = batch_size
        self._kept: Tensor | None = None
        self._keeps = data.indexed

    @torch.no_grad()
    def of(self, batch: Batch) -> Any:
        """Return the dense model's outputs on this batch of the training split, in full precision."""
        if batch.index is None or not self._keeps:
            return self._outputs(batch)
        if self._kept is None:
            sample = self._outputs(batch)
            self._keeps = isinstance(sample, Tensor) and (
                sample.ndim > 0
                and batch.dim == 0
                and len(sample) == len(batch.index)
                and sample[0].numel() * sample.element_size() * len(self.data) <= MEMORY_LIMIT
            )
            if not self._keeps:
                return sample
            self._kept = self._whole(sample)
            self._keeps = self._kept is not None
            if self._kept is None:
                return sample
        return self._kept[batch.index.to(self._kept.device)]

    def _whole(self, like: Tensor) -> Tensor | None:
        """Return the outputs on all samples; None where their sizes are not the same in all batches."""
        found: list[Tensor] = []
        for batch in self.data.batches(self.batch_size, device=like.device):
            outputs = self._outputs(batch)
            if not isinstance(outputs, Tensor) or outputs.shape != (batch.samples, *like.shape[1:]):
                return None
            found.append(outputs)
        return torch.cat(found)

    def _outputs(self, batch: Batch) -> Any:
        device = next(self.dense.parameters()).device
        with autocast(device):
            outputs = apply(in_eval(self.dense), batch.inputs)
        named = named_output(outputs)
        return full_precision(outputs if named is None else named)


def distillation_loss(
    outputs: Any,
    soft: Any,
    *,
    classes: bool,
    temperature: float,
    targets: Any = None,
    ignored: int = IGNORED,
) -> Tensor | None:
    """Return the distance to the dense model's outputs, averaged over samples (and positions); None if none compare.

    With ``classes``, main outputs are compared as logits: ``T² · KL(softmax(soft/T) ‖ softmax(outputs/T))`` over the
    class dimension. That is the dimension which the targets lack: the last one of ``(N, T, classes)`` against
    ``(N, T)``, 1 of ``(N, classes, …)`` against ``(N, …)``; the rule is `class_dimension`'s. Positions whose target is
    ignored are left out.

    Else it is the mean squared difference: of the main outputs where they are named, else over all floating-point
    tensors of equal place and shape. Losses, caches, and auxiliary outputs that only training gives are not compared.
    """
    pairs = _pairs(outputs, soft, main_only=classes)
    if not pairs:
        return None
    if not classes:
        return torch.stack([functional.mse_loss(ours, theirs) for ours, theirs in pairs]).mean()
    ((ours, theirs),) = pairs
    dimension = class_dimension(outputs, targets)
    log_p = functional.log_softmax(ours / temperature, dimension)
    log_q = functional.log_softmax(theirs / temperature, dimension)
    divergence = functional.kl_div(log_p, log_q, reduction="none", log_target=True).sum(dimension)
    matched = by_position(outputs, targets)
    if matched is not None and matched[1].shape == divergence.shape and not matched[1].is_floating_point():
        counted = matched[1] != ignored
        divergence = divergence.where(counted, 0.0).sum() / counted.sum().clamp_min(1)
    return divergence.mean() * temperature**2


def _pairs(outputs: Any, soft: Any, *, main_only: bool) -> list[tuple[Tensor, Tensor]]:
    """Return what is compared: the network's tensors, each with the dense model's."""
    theirs = main_output(soft) if main_only or isinstance(soft, Tensor) else named_output(soft)
    if theirs is None:
        return [] if main_only else _alike(outputs, soft)
    ours = main_output(outputs)
    if ours is None or ours.shape != theirs.shape:
        # In training the main output may stand anywhere among auxiliary ones.
        same = [part for part in (parts_of(outputs) or {}).values() if _compares(part, theirs)]
        return [(same[0], theirs)] if same else []
    return [(ours, theirs)] if ours.is_floating_point() else []


def _alike(outputs: Any, soft: Any) -> list[tuple[Tensor, Tensor]]:
    """Return the floating-point tensors of equal place and shape; single numbers are losses."""
    if isinstance(outputs, Tensor):
        return [(outputs, soft)] if outputs.ndim and _compares(outputs, soft) else []
    ours, theirs = parts_of(outputs) or {}, parts_of(soft) or {}
    return [pair for name in ours if name in theirs for pair in _alike(ours[name], theirs[name])]


def _compares(ours: Any, theirs: Any) -> bool:
    if not isinstance(ours, Tensor) or not isinstance(theirs, Tensor):
        return False
    return ours.is_floating_point() and theirs.is_floating_point() and ours.shape == theirs.shape
