"""What the whole of a layer's output is worth: the unit in which relative errors of all layers are compared."""

from __future__ import annotations

from ..model.layer import Layer
from .moments import Moments, Statistic
from .output_metric import PLAIN


def importance_of(layer: Layer, statistic: Statistic, moments: Moments) -> float | None:
    """Return the expected squared change of the network's outputs where a layer gave nothing but its mean.

    That is ``s tr(L W C Wᵀ Lᵀ)`` (see `output_metric`); where the layer has no bias, ``C`` is about zero. A relative
    error times this is an error in the unit of the outputs. None where errors are not known in that unit.

    Args:
        layer: the dense layer.
        statistic: whose moments are given.
        moments: those, with what an error of the outputs costs.
    """
    if moments.metric is PLAIN:
        return None
    metric = moments.metric
    second = moments.covariance if statistic == "gradients" else moments.about(mean=layer.module.bias is not None)
    if statistic != "outputs":
        weight = metric.weigh(layer.grouped_weight)
        return metric.scale * float(((weight @ second) * weight).sum())
    out = layer.out_features // layer.groups
    blocks = second.view(layer.groups, out, layer.groups, out).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    return metric.scale * float(metric.weigh_moments(blocks).diagonal(dim1=-2, dim2=-1).sum())
