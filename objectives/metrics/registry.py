"""The metrics on offer: a new one is a new file, and its import and its place in `METRICS` here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import RankfrontError
from .bytes import BYTES
from .flops import FLOPS
from .latency import LATENCY
from .metric import Metric, Quantity, Subject
from .params import PARAMS
from .values import Metrics

if TYPE_CHECKING:
    from torch import nn

    from ..data.structure import Inputs
    from ..io.saved import Entry
    from ..model.trace import Several

METRICS: dict[str, Quantity] = {metric.name: metric for metric in (PARAMS, FLOPS, BYTES, LATENCY)}

SIZE = PARAMS.name
"""The metric by which layers and plans are called small or large: of a layer's plot, of the smallest plan."""

LAYER_METRICS = (PARAMS.name, FLOPS.name)
"""The metrics that a `Layer` has of its own, under these names; in this order a layer's options are sorted."""


def counted() -> dict[str, Metric]:
    """Return the metrics that every network is counted or measured in; the others a study has where it asks."""
    return {name: metric for name, metric in METRICS.items() if isinstance(metric, Metric)}


def metric_named(name: str) -> Quantity:
    """Return the metric of that name; raises `RankfrontError` for an unknown one."""
    if name not in METRICS:
        raise RankfrontError(f"a metric must be one of {', '.join(METRICS)}, but got {name!r:.60}")
    return METRICS[name]


def measure(
    model: nn.Module, example: Inputs | Several, saved: Callable[[nn.Module], Sequence[Entry]] | None = None
) -> Metrics:
    """Return the amounts that a network is counted or measured in.

    Args:
        model: the network.
        example: the inputs of one sample, a batch of one; or of several, of which amounts are the mean.
        saved: returns the tensors that its file holds; those of its state dict if not given.

    >>> from torch import nn, zeros
    >>> measure(nn.Linear(3, 2), zeros(1, 3))
    Metrics(params=8, flops=12, bytes=160)
    """
    if saved is None:
        from ..io.saved import entries as saved
    subject = Subject(model, example, saved)
    return Metrics({name: metric.measure(subject) for name, metric in counted().items()})
