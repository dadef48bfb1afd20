"""The gradient of the calibration loss in layers' weights: what a small change of a weight does to it, first order.

Only rules that ask for it need it (`zero_sum`): unlike `gradients` it takes the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..model.layer import Layer
from .weight_gradients import gradients_in


def weight_gradients(
    model: nn.Module,
    layers: Mapping[str, Layer],
    batches: Sequence[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return the gradient of the mean loss in every layer's weight, ``(groups, out, in)`` as `Layer.grouped_weight`.

    Args:
        model: the dense model, run in eval mode where its weights are.
        layers: of that model, by name.
        batches: of training data, where the model is, small enough for a training step.
        loss: ``loss(model, batch)``, averaged over the batch.
        seed: of what the model draws.
    """
    weights = [layer.module.weight for layer in layers.values()]
    sums = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    samples = sum(batch.samples for batch in batches)
    for batch, gradients in gradients_in(model, weights, batches, loss, seed):
        for total, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                total += gradient.float() * (batch.samples / samples)
    return {name: layers[name].grouped(total.double()) for name, total in zip(layers, sums, strict=True)}
