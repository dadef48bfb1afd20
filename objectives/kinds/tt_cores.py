"""The two cores of a TT-matrix, and the error of the output at several ranks, in time and memory of the layer's order.

- Cores: the left singular vectors of the rearranged weight ``T`` are the eigenvectors of ``T Tᵀ``, taken on its smaller
  side. Of a table that is larger than `EXACT_SIDE` on both sides they are found for `SKETCHED` ranks only, by a
  randomized range finder with power iterations (Halko, Martinsson and Tropp, SIAM Review 2011, algorithm 4.4).
- Errors: ``tr(L D S Dᵀ Lᵀ)``, with ``D`` what a rank leaves of the weight, ``S`` the inputs' second moment and ``L``
  what an error of the outputs costs. Where that is more work than `WORK` for all ranks, it is estimated by `PROBES`
  random signs ``z`` as the mean of ``gᵀ D S Dᵀ g`` with ``g = Lᵀ z`` (Hutchinson, 1990), the same ones for every rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ..calibration.output_metric import OutputMetric

EXACT_SIDE = 2048
"""Larger tables are decomposed by random projections: an eigendecomposition of this side takes about 5 s on a core."""

SKETCHED = 512
"""Number of ranks that are found by random projections: it limits the computing time."""

POWER_ITERATIONS = 2
"""Passes over the table that sharpen a random projection, as Halko et al. advise for slowly decaying spectra."""

WORK = 1e10
"""FLOP limit of the exact errors of all ranks: half a second on a core."""

PROBES = 64
"""Random signs that an error is estimated by; its standard error is below ``√(2 / PROBES)`` = 18 %, mostly by far."""


class Cores(NamedTuple):
    """``first (a, k)`` and ``last (k, b)``: their product's first r terms are the table's best approximation."""

    first: Tensor
    last: Tensor


@torch.no_grad()
def cores_of(table: Tensor) -> Cores:
    """Return the cores of a table ``(a, b)``, float64, balanced: each has the roots of the singular values."""
    if table.shape[0] > table.shape[1]:
        first, last = cores_of(table.T)
        return Cores(last.T, first.T)
    basis = _range(table) if len(table) > EXACT_SIDE else None
    core = table if basis is None else basis.T @ table
    vectors = torch.linalg.eigh(core @ core.T).eigenvectors.flip(-1)
    last = vectors.T @ core
    # From the rows: the root of an eigenvalue has lost half of its digits.
    roots = last.norm(dim=1).sqrt()
    left = vectors if basis is None else basis @ vectors
    return Cores(left * roots, last / roots.clamp_min(torch.finfo(last.dtype).tiny)[:, None])


def _range(table: Tensor) -> Tensor:
    """Return an orthonormal basis ``(a, SKETCHED)`` of nearly all that the table's columns span."""
    generator = torch.Generator().manual_seed(0)
    sketch = torch.randn(table.shape[1], SKETCHED, generator=generator, dtype=table.dtype).to(table.device)
    basis = torch.linalg.qr(table @ sketch).Q
    for _ in range(POWER_ITERATIONS):
        basis = torch.linalg.qr(table @ torch.linalg.qr(table.T @ basis).Q).Q
    return basis


@torch.no_grad()
def weight_errors(table: Tensor, cores: Cores, ranks: Iterable[int]) -> Tensor:
    """Return the relative squared error of the table at some ranks."""
    kept = (cores.first.square().sum(0) * cores.last.square().sum(1)).cumsum(0)
    whole = torch.linalg.vector_norm(table).square()  # without another table of squares
    left = whole - kept[torch.tensor(list(ranks), device=kept.device) - 1]
    return (left / whole.clamp_min(torch.finfo(table.dtype).tiny)).clamp_min(0)


@torch.no_grad()
def output_errors(
    weight: Tensor,
    second: Tensor,
    cores: Cores,
    product: Callable[[Tensor, Tensor], Tensor],
    ranks: Iterable[int],
    metric: OutputMetric,
) -> Tensor:
    """Return the relative squared error of the output at some ranks.

    Args:
        weight: ``(out, in)``, float64.
        second: the inputs' second moment ``(in, in)``.
        cores: of the rearranged weight.
        product: returns the weight of a slice of both cores.
        ranks: ascending.
        metric: what an error in the output costs.
    """
    ranks = list(ranks)
    missing = weight.clone()
    signs = _signs(weight, len(ranks) + 1)
    probes = None if signs is None else metric.spread(signs.T[None])[0].T

    def error() -> Tensor:
        rows = metric.weigh(missing[None])[0] if probes is None else probes @ missing
        return ((rows @ second) * rows).sum()

    errors = [error()]
    before = 0
    for rank in ranks:
        missing -= product(cores.first[:, before:rank], cores.last[before:rank])
        before = rank
        errors.append(error())
    return (torch.stack(errors[1:]) / errors[0].clamp_min(torch.finfo(weight.dtype).tiny)).clamp_min(0)


def _signs(weight: Tensor, evaluations: int) -> Tensor | None:
    """Return random signs ``(PROBES, out)``, or None where the errors of all outputs are not too much work."""
    out, inputs = weight.shape
    if out <= PROBES or 2.0 * out * inputs**2 * evaluations <= WORK:
        return None
    drawn = torch.randint(2, (PROBES, out), generator=torch.Generator().manual_seed(0))
    return (2 * drawn - 1).to(weight)
