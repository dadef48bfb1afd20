"""What an error in a block's output costs the network: as `output_metric` tells of a layer's.

Of all errors that a block's factors cannot mend, `block_refit` mends those first that change the network's outputs
most. In a residual stream a few features are far larger than the rest, and a plain squared error sees nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..calibration.gradients import LARGEST
from ..calibration.output_metric import OutputMetric
from ..data.batch import Batch
from ..data.randomness import fixed_seed
from ..data.structure import apply, tensors_of
from ..model.mode import constant

Scalar = Callable[[Any, Any], Tensor]
"""``scalar(outputs, targets)``, whose gradient tells what counts (see `sensitivity`)."""


def main_of(output: Any) -> Tensor:
    """Return the first floating-point tensor of an output."""
    return next(tensor for tensor in tensors_of(output) if tensor.is_floating_point())


class BlockMetric:
    """Squared errors of a block's output, weighed along its axis of features; alike where no metric is given."""

    def __init__(self, axis: int = -1, metric: OutputMetric | None = None) -> None:
        self._axis = axis
        root = None if metric is None else metric.root
        self._root = None if root is None else root[0].float()

    def error(self, output: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean squared error, ``()``."""
        missed = (output - wanted).float()
        if self._root is not None:
            rows = missed.movedim(self._axis, -1)
            missed = rows * self._root[:, 0] if self._root.shape[1] == 1 else rows @ self._root.T
        return missed.square().mean()


def block_metrics(
    dense: nn.Module, blocks: Mapping[str, Sequence[str]], batches: Sequence[Batch], scalar: Scalar, seed: int = 0
) -> dict[str, BlockMetric]:
    """Return the metric of every block's first output, found in one forward and backward pass over ``batches``.

    Args:
        dense: the dense model, run in eval mode where its weights are.
        blocks: path → names of the layers inside; the last one tells where features are.
        batches: small enough for a training step.
        scalar: what is taken the gradient of.
        seed: of what it draws.

    Returns:
        The metrics by path; plain ones where no finite gradient reaches a block, or the model cannot be run backward.
    """
    axes = {
        block: 1 if isinstance(dense.get_submodule(inside[-1]), _ConvNd) else -1 for block, inside in blocks.items()
    }
    sums: dict[str, Tensor] = {}
    start = torch.zeros((), device=next(dense.parameters()).device, requires_grad=True)

    def add(block: str, gradient: Tensor) -> None:
        rows = gradient.detach().float().movedim(axes[block], -1).flatten(0, -2)
        second = rows.T @ rows if rows.shape[1] <= LARGEST else rows.square().sum(0)
        sums[block] = sums[block] + second.double() if block in sums else second.double()

    def leave(block: str, _: nn.Module, __: Any, output: Any) -> None:
        main = main_of(output)
        if main.requires_grad:
            main.register_hook(functools.partial(add, block))

    def arrive(
        _: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        first = [x + start.to(x) if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs]
        return tuple(first), keywords

    hooks = []
    for block in blocks:
        module = dense.get_submodule(block)
        hooks.append(module.register_forward_pre_hook(arrive, with_kwargs=True))
        hooks.append(module.register_forward_hook(functools.partial(leave, block)))
    try:
        with fixed_seed(seed), constant(dense), torch.enable_grad():
            for batch in batches:
                torch.autograd.grad(scalar(apply(dense, batch.inputs), batch.targets), start, allow_unused=True)
    except RuntimeError:
        sums.clear()
    finally:
        for hook in hooks:
            hook.remove()
    known = {block: s for block, s in sums.items() if bool(torch.isfinite(s).all()) and bool(s.any())}
    return {
        block: BlockMetric(axes[block], OutputMetric(known[block][None]) if block in known else None)
        for block in blocks
    }
