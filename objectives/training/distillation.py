"""Soft targets: the dense model's outputs on each training sample (Hinton et al., 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.batch import Batch
from ..data.split import Split
from ..data.structure import apply, full_precision
from ..device import autocast

MEMORY_LIMIT = 2**31
"""Bytes of soft targets that are kept; beyond that they are computed anew for each batch."""


class SoftTargets:
    """The dense model's outputs, computed once where the data is the same at every step."""

    def __init__(self, dense: nn.Module, data: Split) -> None:
        self.dense = dense
        self.data = data
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
                sample[0].numel() * sample.element_size() * len(self.data) <= MEMORY_LIMIT
            )
            if not self._keeps:
                return sample
            self._kept = torch.cat([self._outputs(b) for b in self.data.batches(512, device=sample.device)])
        return self._kept[batch.index.to(self._kept.device)]

    def _outputs(self, batch: Batch) -> Any:
        device = next(self.dense.parameters()).device
        with autocast(device):
            return full_precision(apply(self.dense.eval(), batch.inputs))


def distillation_loss(outputs: Any, soft: Any, *, classes: bool, temperature: float) -> Tensor:
    """Return the distance to the dense model's outputs, averaged over samples (and positions).

    With ``classes``, outputs are logits ``(N, classes, …)`` and it is
    ``T² · KL(softmax(soft/T) ‖ softmax(outputs/T))``; else the mean squared difference, over all tensors
    of a structured output.
    """
    if classes:
        log_p = functional.log_softmax(outputs / temperature, 1)
        log_q = functional.log_softmax(soft / temperature, 1)
        divergence = functional.kl_div(log_p, log_q, reduction="none", log_target=True).sum(1)
        return divergence.mean() * temperature**2
    pairs = zip(_floats(outputs), _floats(soft), strict=True)
    return torch.stack([functional.mse_loss(ours, theirs) for ours, theirs in pairs]).mean()


def _floats(outputs: Any) -> list[Tensor]:
    """Return the floating-point tensors of a structured output."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.is_floating_point() else []
    parts = outputs.values() if isinstance(outputs, dict) else outputs
    return [tensor for part in parts for tensor in _floats(part)] if isinstance(outputs, (dict, tuple, list)) else []
