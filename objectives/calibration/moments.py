"""Moments of the rows that pass a layer: how many, their mean, their covariance.

Where the mean is large against the spread, sums of squares lose every digit of the covariance in float32. So rows are
shifted by the first batch's mean before they are multiplied, and the covariance is kept about the mean.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..model.layer import Layer
from .output_metric import PLAIN, OutputMetric

Statistic = Literal["inputs", "outputs", "gradients"]
"""Whose moments a decomposition is to get: a layer's unfolded inputs, its outputs without the bias, or, of a parameter,
its gradients' (see `weight_moments`)."""


class Moments(NamedTuple):
    """Of observed rows: ``samples``, ``mean`` (d,), ``covariance`` (d, d) about the mean, float64.

    ``metric`` says what an error in the layer's output costs.
    """

    samples: int
    mean: Tensor
    covariance: Tensor
    metric: OutputMetric = PLAIN

    @classmethod
    def white(cls, layer: Layer) -> Moments:
        """Return those of inputs that are independent and of unit variance: for the error of the weight itself."""
        weight = layer.grouped_weight[0]
        eye = torch.eye(layer.in_features, dtype=weight.dtype, device=weight.device)
        return cls(0, weight.new_zeros(layer.in_features), eye)

    @property
    def second(self) -> Tensor:
        """The second moment about zero, ``E[a aᵀ]``."""
        return self.covariance + self.mean.outer(self.mean)

    def about(self, *, mean: bool) -> Tensor:
        """Return the second moment about the mean, which a bias can hold, or about zero, where there is no bias."""
        return self.covariance if mean else self.second


class MomentSums:
    """Running sums of shifted rows: multiplied in float32 batch by batch, added up in float64."""

    def __init__(self) -> None:
        self.count = 0
        self._shift: Tensor | None = None
        self._first: Tensor | float = 0.0
        self._second: Tensor | float = 0.0

    def add(self, rows: Tensor) -> None:
        """Take more rows ``(n, d)``."""
        rows = rows.float()
        if self._shift is None:
            self._shift = rows.mean(0, dtype=torch.float64).float()
        rows = rows - self._shift
        self.count += len(rows)
        self._first = self._first + rows.sum(0, dtype=torch.float64)
        self._second = self._second + (rows.T @ rows).double()

    def moments(self) -> Moments:
        """Return the moments of all rows taken; at least one."""
        assert self._shift is not None and isinstance(self._first, Tensor) and isinstance(self._second, Tensor)
        mean = self._first / self.count
        return Moments(self.count, self._shift + mean, self._second / self.count - mean.outer(mean))
