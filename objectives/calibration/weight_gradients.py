"""Gradients in a model's weights, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.randomness import fixed_seed
from ..model.mode import constant


def gradients_in(
    model: nn.Module,
    weights: Sequence[Tensor],
    batches: Iterable[Batch],
    scalar: Callable[[nn.Module, Batch], Tensor],
    seed: int,
) -> Iterator[tuple[Batch, tuple[Tensor | None, ...]]]:
    """Yield each batch with the gradients in some weights; None where nothing depends on one.

    Args:
        model: run in eval mode where its weights are; afterwards it is as it was.
        weights: of the model.
        batches: small enough for a training step.
        scalar: ``scalar(model, batch)``, what is differentiated.
        seed: of what the model and the scalar draw.

    Raises:
        RuntimeError: torch cannot run the model backward.
    """
    with fixed_seed(seed), constant(model), torch.enable_grad():
        for weight in weights:
            weight.requires_grad_(True)
        try:
            for batch in batches:
                yield batch, torch.autograd.grad(scalar(model, batch), list(weights), allow_unused=True)
        finally:
            for weight in weights:
                weight.requires_grad_(False)
