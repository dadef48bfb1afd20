"""Scores that take a split batch by batch, in memory that does not grow with it: metric objects, and means.

A metric object has ``update``, ``compute`` and ``reset``, as every metric of torchmetrics has. Where all its states are
sums, those over single batches are kept: the score has an interval then (see `bootstrap`), from 8 batches on.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.structure import place
from ..errors import RankfrontError
from ..model.outputs import main_output
from .bootstrap import Blocks, Sums
from .measured import Measured
from .pair import Batches, samples_in

Select = Callable[[Any, Any], Any]
"""``select(outputs, targets)`` → the arguments of ``update``: a tuple, a dict of keywords, or a single one."""

NEEDED = ("update", "compute", "reset")
"""The methods of a metric object."""

LARGEST_STATE = 2**17
"""Numbers in a metric's states beyond which no blocks are kept: 128 of them take 128 MiB at most."""

CUTS = 16
"""A batch's values are summed over at most so many blocks, so that a bootstrap needs few batches."""


def is_metric(item: Any) -> bool:
    """Return whether it is a metric object."""
    return not isinstance(item, type) and all(callable(getattr(item, name, None)) for name in NEEDED)


def main_and_targets(outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Return the main output, or the outputs as they are where there is none, and the targets."""
    main = main_output(outputs)
    return (outputs if main is None else main), targets


@dataclass(frozen=True)
class StreamedMetric:
    """The score that a metric object computes."""

    metric: Any
    select: Select = main_and_targets
    key: str | None = None
    """Which entry is the score, where ``compute`` returns a mapping."""

    def __call__(self, batches: Batches) -> Measured:
        """Return the metric over all batches. It is reset before and afterwards."""
        metric = self.metric
        metric.reset()
        blocks, before = Blocks(), _sums_of(metric)
        try:
            for outputs, targets in batches:
                positional, named = _arguments(self.select(outputs, targets), metric)
                metric.update(*positional, **named)
                after = None if before is None else _sums_of(metric)
                if before is not None and after is not None:
                    blocks.add({name: after[name] - before[name] for name in before})
                before = after
            value = self._picked(metric.compute())
        finally:
            metric.reset()
        return Measured(value) if before is None else Measured(value, blocks=blocks, value_of=self._of_sums())

    def _of_sums(self) -> Callable[[Sums], float]:
        """Return what computes the metric from its states."""
        own = functools.cache(lambda: copy.deepcopy(self.metric))

        def value_of(sums: Sums) -> float:
            metric = own()
            metric.reset()
            for name, state in sums.items():
                setattr(metric, name, state)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is computed without an update
                return float(self._picked(metric.compute()))

        return value_of

    def _picked(self, computed: Any) -> Any:
        if not isinstance(computed, Mapping):
            return computed
        if self.key not in computed:
            raise RankfrontError(
                f"a score must be one number, but {type(self.metric).__name__} computes "
                f"{', '.join(map(str, computed))}: pick one by rankfront.Score.of_metric(metric, key=…)"
            )
        return computed[self.key]


@dataclass(frozen=True)
class StreamedMean:
    """The mean over samples of what a function returns."""

    function: Callable[[Any, Any], Any]
    """``function(outputs, targets)`` of a batch: a value a sample (or position), or one number, the batch's mean."""

    def __call__(self, batches: Batches) -> Measured:
        """Return the mean over all batches; that of a batch that is one number counts as often as it has samples."""
        blocks, total, count = Blocks(), torch.zeros((), dtype=torch.float64), 0
        for pair in batches:
            values = torch.as_tensor(self.function(*pair)).detach().double().cpu()
            if not values.numel():  # every position of the batch is masked
                continue
            if not values.ndim:
                values, weight = values.reshape(1), samples_in(pair)
            else:
                weight = 1
            for part in values.flatten().tensor_split(min(CUTS, values.numel())):
                blocks.add({"sum": part.sum() * weight, "count": torch.tensor(float(len(part) * weight))})
            total, count = total + values.sum() * weight, count + values.numel() * weight
        if not count:
            raise RankfrontError("a score must be a mean over at least one sample, but the data gave none")
        return Measured(float(total) / count, blocks=blocks, value_of=lambda sums: float(sums["sum"] / sums["count"]))


def _arguments(selected: Any, metric: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of ``update``, by place and by name, where the metric is."""
    device = getattr(metric, "device", None)
    if isinstance(device, torch.device):
        selected = place(selected, device)
    if type(selected) is dict:
        return (), selected
    return (selected if type(selected) is tuple else (selected,)), {}


def _sums_of(metric: Any) -> Sums | None:
    """Return copies of a torchmetrics metric's states, where all are sums and not large; else None."""
    reductions, states = getattr(metric, "_reductions", None), getattr(metric, "metric_state", None)
    if not isinstance(reductions, Mapping) or not isinstance(states, Mapping) or not states:
        return None
    if any(getattr(reductions.get(name), "__name__", "") != "dim_zero_sum" for name in states):
        return None
    if not all(isinstance(state, Tensor) for state in states.values()):
        return None
    copies = {name: state.detach().clone() for name, state in states.items()}
    return copies if sum(state.numel() for state in copies.values()) <= LARGEST_STATE else None
