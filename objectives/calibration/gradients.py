"""Moments of the gradients at layers' outputs: one backward pass a batch, without gradients of the weights."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.randomness import fixed_seed
from ..data.structure import apply
from ..model.layer import Layer
from ..model.mode import constant
from ..progress import CountCallback
from .output_metric import OutputMetric
from .patches import output_rows

Key = TypeVar("Key", bound=Hashable)

LARGEST = 4096
"""Outputs of one group beyond which their gradients' moments (128 MiB) are of each output alone."""


def output_metrics(
    model: nn.Module,
    layers: Mapping[Key, Layer],
    batches: Sequence[Batch],
    scalar: Callable[[Any, Any], Tensor],
    seed: int = 0,
    progress: CountCallback | None = None,
) -> dict[Key, OutputMetric]:
    """Return what an error in each layer's output costs, found in one forward and backward pass over ``batches``.

    Args:
        model: the dense model, run in eval mode where its weights are.
        layers: of that model, under any key.
        batches: of training data, where the model is, small enough for a training step.
        scalar: ``scalar(outputs, targets)`` whose gradient is taken, summed over samples (see `sensitivity`).
        seed: of what it draws.
        progress: called with the number of batches read, and of all.

    Returns:
        The metrics by key. A layer that no gradient reaches has none, nor has one whose gradients are not finite: the
        outputs may yet depend on it, as by a choice of the largest.

    Raises:
        RuntimeError: torch cannot run the model backward.
    """
    sums = {key: _zeros(layer) for key, layer in layers.items()}
    start = torch.zeros((), device=next(iter(layers.values())).module.weight.device, requires_grad=True)
    hooks = []
    for key, layer in layers.items():

        def add(gradient: Tensor, key: Key = key, layer: Layer = layer) -> None:
            rows = output_rows(layer.module, gradient.detach()).float()
            all_positions = gradient.numel() // (len(rows) * layer.out_features)
            second = _second(rows.flatten(0, 1).unflatten(1, (layer.groups, -1)), sums[key])
            sums[key] += second.double() * (all_positions / rows.shape[1])

        def note(_: nn.Module, __: object, output: Tensor, add: Callable[[Tensor], None] = add) -> Tensor | None:
            given = output if output.requires_grad else output + start.to(output)
            if given.requires_grad:  # else the model has switched gradients off here
                given.register_hook(add)
            return None if given is output else given

        # Before the user's own hooks, which may change the output.
        hooks.extend(m.register_forward_hook(note, prepend=True) for m in layer.modules_in(model))
    try:
        with fixed_seed(seed), constant(model), torch.enable_grad():
            for done, batch in enumerate(batches, 1):
                total = scalar(apply(model, batch.inputs), batch.targets)
                torch.autograd.grad(total, start, allow_unused=True)
                if progress is not None:
                    progress(done, len(batches))
    finally:
        for hook in hooks:
            hook.remove()
    samples = sum(batch.samples for batch in batches)
    known = {key: total for key, total in sums.items() if bool(torch.isfinite(total).all()) and bool(total.any())}
    return {key: OutputMetric(total.div_(samples)) for key, total in known.items()}


def _zeros(layer: Layer) -> Tensor:
    out = layer.out_features // layer.groups
    shape = (layer.groups, out) if out > LARGEST else (layer.groups, out, out)
    return torch.zeros(shape, dtype=torch.float64, device=layer.module.weight.device)


def _second(rows: Tensor, like: Tensor) -> Tensor:
    """Return the summed second moments of rows ``(n, groups, out)``: whole, or of each output alone."""
    return rows.square().sum(0) if like.ndim == 2 else rows.permute(1, 2, 0) @ rows.transpose(0, 1)
