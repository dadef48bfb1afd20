"""Re-estimation of batch-norm statistics after factorization, kept only where it helps.

Factors shift what a batch norm sees, so fresh statistics gain up to 20 points with plain factors;
with whitened ones they can lose some. So both are tried on held-out data.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.batch import Batch
from ..data.structure import apply
from ..model.mode import in_mode
from .held_out import is_better
from .norms import norms_of, refuses_single


def reestimate_where_it_helps(
    model: nn.Module,
    batches: Sequence[Batch],
    loss: Callable[[nn.Module], float],
    frozen: Collection[str] = (),
) -> bool:
    """Re-estimate ``model``'s running statistics on ``batches``; undo it unless ``loss`` falls.

    Those of ``frozen`` norms, known by their paths, stay. Returns whether the new statistics were kept.
    """
    found = norms_of(model).items()
    norms = [norm for path, norm in found if isinstance(norm, _BatchNorm) and path not in frozen]
    if not norms:
        return False
    before = loss(model)
    saved = [copy.deepcopy(norm.state_dict()) for norm in norms]
    _reestimate(model, norms, batches)
    if is_better(loss(model), before):
        return True
    for norm, state in zip(norms, saved, strict=True):
        norm.load_state_dict(state)
    return False


@torch.no_grad()
def _reestimate(model: nn.Module, norms: Sequence[_BatchNorm], batches: Sequence[Batch]) -> None:
    """Replace the running statistics by the plain average over ``batches``."""
    momenta = [norm.momentum for norm in norms]
    with in_mode(model, training=False):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for a cumulative average
            norm.train()
        for batch in batches:
            try:
                apply(model, batch.inputs)
            except ValueError as error:
                if not refuses_single(error, batch.samples):
                    raise
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
