"""Soft targets: what the dense model says of each training sample (Hinton et al., 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .data import Batch, Split, apply

MEMORY_LIMIT = 2**31
"""Bytes of soft targets that are kept; beyond that they are computed anew for each batch."""


class SoftTargets:
    """The dense model's outputs, computed once where the data is the same at every reading."""

    def __init__(self, dense: nn.Module, data: Split) -> None:
        self.dense = dense
        self.data = data
        self._kept: Tensor | None = None
        self._keeps = data.indexed

    @torch.no_grad()
    def of(self, batch: Batch) -> Any:
        """Return the dense model's outputs on this batch of the training split."""
        if batch.index is None or not self._keeps:
            return apply(self.dense.eval(), batch.inputs)
        if self._kept is None:
            sample = apply(self.dense.eval(), batch.inputs)
            self._keeps = isinstance(sample, Tensor) and (
                sample[0].numel() * sample.element_size() * len(self.data) <= MEMORY_LIMIT
            )
            if not self._keeps:
                return sample
            device = sample.device
            parts = [apply(self.dense, b.inputs) for b in self.data.batches(512, device=device)]
            self._kept = torch.cat(parts)
        return self._kept[batch.index.to(self._kept.device)]


def distillation_loss(outputs: Any, soft: Any, *, classes: bool, temperature: float) -> Tensor:
    """Return the distance to the dense model's outputs, averaged over the batch.

    With ``classes`` it is ``T² · KL(softmax(soft/T) ‖ softmax(outputs/T))`` over dimension 1, else the
    mean squared difference.
    """
    if not classes:
        return functional.mse_loss(outputs, soft)
    log_p = functional.log_softmax(outputs / temperature, 1)
    log_q = functional.log_softmax(soft / temperature, 1)
    return functional.kl_div(log_p, log_q, log_target=True, reduction="batchmean") * temperature**2
