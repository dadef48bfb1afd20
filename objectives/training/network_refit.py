"""Refit of the whole network: all factors together, so that its outputs are those of the dense network.

What the blocks could not mend by themselves is divided among all layers. No labels: the error is the distance of
distillation at temperature 1 (Hinton et al., 2015), on the calibration samples.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..data.batch import Batch
from ..model.mode import constant
from .criterion import Criterion
from .descent import DESCENT, Descent, descend
from .loss import divergence


def refit_network(
    model: nn.Module,
    dense: nn.Module,
    layers: Sequence[str],
    batches: Sequence[Batch],
    held_out: Sequence[Batch],
    criterion: Criterion,
    by: Descent = DESCENT,
    seed: int = 0,
) -> None:
    """Train, in place, the factors of ``model``; keep them as they are where held-out outputs come no nearer.

    Args:
        model: the factorized network, of plain factors, already refitted by layers and blocks.
        dense: the dense network.
        layers: names of the factorized layers.
        batches: unlabelled samples to train on, each of the size that a training step takes.
        held_out: other samples, to choose by.
        criterion: by which outputs are compared; where there is nothing to compare, nothing is done.
        by: how long, and how fast.
        seed: of the order of the batches.
    """
    factors = [parameter for name in layers for parameter in model.get_submodule(name).parameters()]
    with constant(dense), constant(model):
        descend(factors, lambda batch: divergence(model, batch, dense, criterion), batches, held_out, by, seed)
