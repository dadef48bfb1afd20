"""Moments of a parameter's gradients: what a change of it costs, where no layer's inputs and outputs can be seen.

With ``g`` the gradient of a random projection of the network's outputs in a matrix ``W (rows, columns)``, a small
change ``D`` of it changes the outputs by ``E[(g · D)²]``. As in Shampoo (Gupta, Koren and Singer, 2018) the moments of
``g`` are taken for a Kronecker product, ``R ⊗ C / tr(R)`` with ``R = E[g gᵀ]`` and ``C = E[gᵀ g]``, so that the change
is ``tr(R D C Dᵀ) / tr(R)``: the form that a layer's errors have, with ``R`` in the place of the gradients at outputs,
``C / tr(R)`` in that of the inputs (see `output_metric`).

The projection's signs are random from sample to sample, so the gradient of a batch's sum has the sum of the moments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.structure import apply
from ..model.stored_layer import StoredLayer
from ..progress import CountCallback
from .gradients import LARGEST
from .moments import Moments
from .output_metric import DAMPING, OutputMetric
from .samples import in_training_batches
from .weight_gradients import gradients_in

PARTS = 64
"""At least so many gradients, where there are as many samples: moments of fewer tell of these samples alone."""


def weight_moments(
    model: nn.Module,
    layers: Mapping[str, StoredLayer],
    batches: Sequence[Batch],
    scalar: Callable[[Any, Any], Tensor],
    seed: int = 0,
    progress: CountCallback | None = None,
) -> dict[str, Moments]:
    """Return the moments of parameters' gradients, by name, found in one forward and backward pass over ``batches``.

    Args:
        model: the dense model, run in eval mode where its weights are.
        layers: of that model, by name.
        batches: of training data, where the model is, small enough for a training step.
        scalar: ``scalar(outputs, targets)`` whose gradient is taken (see `sensitivity`).
        seed: of what it draws.
        progress: called with the number of batches read, and of all.

    Returns:
        ``covariance (stack, columns, columns)`` about a mean of 0, and the metric of rows. A parameter that no gradient
        reaches has none, nor has one whose gradients are not finite, or with more than `LARGEST` rows or columns.

    Raises:
        RuntimeError: torch cannot run the model backward.
    """
    small = {name: layer for name, layer in layers.items() if max(layer.matrices.size[1:]) <= LARGEST}
    rows: dict[str, Tensor | float] = dict.fromkeys(small, 0.0)
    columns: dict[str, Tensor | float] = dict.fromkeys(small, 0.0)
    samples = sum(batch.samples for batch in batches)
    parts = in_training_batches(batches, max(1, samples // PARTS))

    def projected(model: nn.Module, batch: Batch) -> Tensor:
        return scalar(apply(model, batch.inputs), batch.targets)

    found = gradients_in(model, [layer.module.weight for layer in small.values()], parts, projected, seed)
    for done, (_, gradients) in enumerate(found, 1):
        for (name, layer), gradient in zip(small.items(), gradients, strict=True):
            if gradient is not None:
                matrices = layer.matrices.of(gradient.float())
                rows[name] = rows[name] + (matrices @ matrices.mT).double()
                columns[name] = columns[name] + (matrices.mT @ matrices).double()
        if progress is not None:
            progress(done, len(parts))
    return {
        name: _moments(of_rows / samples, of_columns / samples, samples)
        for name, of_rows, of_columns in ((name, rows[name], columns[name]) for name in small)
        if isinstance(of_rows, Tensor) and isinstance(of_columns, Tensor)
        if bool(torch.isfinite(of_rows).all()) and bool(of_rows.any())
    }


def _moments(rows: Tensor, columns: Tensor, samples: int) -> Moments:
    """Return the moments from ``E[g gᵀ]`` and ``E[gᵀ g]``; matrices of a stack without a gradient count a little."""
    traces = rows.diagonal(dim1=1, dim2=2).sum(1)
    inputs = columns / traces.clamp_min(DAMPING * traces.mean())[:, None, None]
    mean = inputs.diagonal(dim1=1, dim2=2).mean()
    inputs = (inputs + DAMPING * mean * torch.eye(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)) / (
        1 + DAMPING
    )
    return Moments(samples, inputs.new_zeros(inputs.shape[1]), inputs, OutputMetric(rows))
