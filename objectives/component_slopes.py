"""What dropping each component of a layer's ``svd`` does to the loss: what the rule `zero_sum` goes by."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from .calibration.samples import in_training_batches
from .calibration.slopes import weight_gradients
from .data.batch import Batch
from .kinds.svd import KIND as SVD
from .kinds.svd import SvdDecomposition
from .objective import Objective


def component_slopes(objective: Objective) -> dict[str, NDArray[np.float64]]:
    """Return layer → ``(k,)``: what dropping each component of its ``svd`` adds to the calibration loss.

    To first order, components in descending order of energy, one pass over the calibration data with its labels.
    Layers that ``svd`` does not apply to are left out.
    """
    known = objective.decompositions.of_kind(SVD)
    if not known:
        return {}
    batches = in_training_batches(objective.samples.calibration, objective.task.batch_size)
    criterion = objective.task.criterion

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return criterion(criterion.forward(model, batch), batch.targets)

    layers = {name: objective.by_name[name] for name in known}
    gradients = weight_gradients(objective.dense, layers, batches, loss, objective.seed)
    return {name: cast(SvdDecomposition, known[name]).slopes(gradients[name]).cpu().numpy() for name in known}
