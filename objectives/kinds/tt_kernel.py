"""The tensor train of a convolution's kernel, over (in, kh, kw, out): 1×1, kh×1, 1×kw, 1×1 convolutions.

TT-SVD (Oseledets, 2011) from both ends, for the least error in the *output*. The outer modes are those of `tucker2`
(HOSVD), for each of its pairs of ranks. Its core is decomposed into two like a `spatial` kernel. The rank in the middle
is the least one whose error is at most that of the outer modes (error balance).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from ..calibration.moments import Moments, Statistic
from ..model.layer import Layer
from ..model.stand_in import Chain
from ..plan import Rank, as_tuple
from . import spatial, tucker2
from .error import rank_that_leaves, rounded_all
from .factors import convolution, filled
from .kind import Cost, worthwhile
from .patch_moments import Factors, PatchMoments
from .principal import principal
from .tucker2 import hooi, knobs

PARTS = ("inner", "down", "across", "outer")


@final
class TTKernel:
    """The kind `tt` for convolutions; ranks are ``(r1, r2, r3)``."""

    def applies(self, layer: Layer) -> tuple[bool, str]:
        """Return whether `spatial` applies."""
        return spatial.KIND.applies(layer)

    def full_rank(self, layer: Layer) -> tuple[int, int, int]:
        """Return `tucker2`'s, and in the middle ``min(r1 · kh, kw · r3)`` of these."""
        r1, r3 = tucker2.KIND.full_rank(layer)
        kh, kw = layer.kernel
        return r1, min(r1 * kh, kw * r3), r3

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        """Return ``in · r1 + kh · r1 · r2 + kw · r2 · r3 + r3 · out`` parameters, each applied at its own places."""
        r1, r2, r3 = as_tuple(rank)
        kh, kw = layer.kernel
        first, down = layer.module.weight.shape[1] * r1, r1 * kh * r2
        rest = r2 * kw * r3 + r3 * layer.out_features
        flops = layer.input_positions * first + spatial.columns(layer) * down + layer.positions * rest
        return Cost(first + down + rest + layer.bias_params, 2 * flops)

    def width(self, layer: Layer, rank: Rank) -> int:
        """Return the least of the ranks."""
        return min(layer.width, *as_tuple(rank))

    def skeleton(self, layer: Layer, rank: Rank) -> Chain:
        """Return the four modules, on the meta device."""
        m = layer.module
        assert isinstance(m, nn.Conv2d)
        r1, r2, r3 = as_tuple(rank)
        return Chain(
            convolution(m, m.in_channels, r1, axes=(), bias=False),
            convolution(m, r1, r2, axes=(0,), bias=False),
            convolution(m, r2, r3, axes=(1,), bias=False),
            convolution(m, r3, m.out_channels, axes=(), bias=m.bias is not None),
        )

    def wants(self, layer: Layer) -> Statistic | None:
        """Return ``inputs``: whole patches."""
        return "inputs"

    def decompose(self, layer: Layer, moments: Moments | None) -> TTKernelDecomposition:
        """Decompose `tucker2`'s core for every pair of its ranks."""
        patches = PatchMoments(layer, moments)
        found: dict[tuple[int, int, int], tuple[Tensor, ...]] = {}
        errors = []
        for r1, r3, middle in [(1, 1, 1), *((r1, r3, None) for r1, r3 in knobs(patches))]:
            factors, features, lost = hooi(patches, r1, r3, sweeps=0)
            parts = _cut(layer, factors, features, lost, middle)
            rank = len(parts[0]), len(parts[1]), parts[3].shape[1]
            if rank not in found:
                found[rank] = (*parts[:-1], patches.unweighed(parts[-1]))
                errors.append(patches.error(_joined(parts), features))
        return TTKernelDecomposition(layer, found, torch.tensor(errors, dtype=torch.float64), patches.mean)

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> TTKernelDecomposition:
        """Rebuild from the cached parts."""
        device = layer.module.weight.device
        errors, mean = (tensors[name].to(device) for name in ("errors", "mean"))
        found = {}
        for n in range(len(errors)):
            parts = tuple(tensors[f"{name}.{n}"].to(device) for name in PARTS)
            found[len(parts[0]), len(parts[1]), parts[3].shape[1]] = parts
        return TTKernelDecomposition(layer, found, errors, mean)


def _cut(layer: Layer, factors: Factors, features: Tensor, lost: float, middle: int | None) -> tuple[Tensor, ...]:
    """Cut the core: ``inner (r1, in)``, ``down (r2, r1, kh)``, ``across (r3, r2, kw)``, ``outer (out, r3)``."""
    kh, kw = layer.kernel
    r3, r1, _ = factors.core.shape
    vertical = features.view(r1, kh, kw, r1, kh, kw).diagonal(dim1=2, dim2=5).mean(-1).reshape(r1 * kh, r1 * kh)
    table = factors.core.view(r3, r1, kh, kw).permute(0, 3, 1, 2).reshape(r3 * kw, r1 * kh)
    components, energy = principal(table, inputs=vertical)
    if middle is None:
        tail = energy.flip(0).cumsum(0).flip(0) / energy.sum().clamp_min(torch.finfo(energy.dtype).tiny)
        full = (r1, r3) == tucker2.KIND.full_rank(layer)
        middle = components.shape[1] if full else max(1, rank_that_leaves(tail, lost))
    kept = components[:, :middle]
    across = kept.view(r3, kw, middle).transpose(1, 2)
    return factors.inner, (kept.T @ table).view(middle, r1, kh), across, factors.outer


def _joined(parts: Sequence[Tensor]) -> Factors:
    """Return the parts with the two in the middle put together again."""
    inner, down, across, outer = parts
    core = torch.einsum("mjh,pmw->pjhw", down, across).flatten(2)
    return Factors(inner, core, outer)


@final
class TTKernelDecomposition:
    """Parts by rank with their errors ``(knobs,)``; the mean patch ``(in · kh · kw,)``."""

    def __init__(
        self, layer: Layer, found: Mapping[tuple[int, int, int], tuple[Tensor, ...]], errors: Tensor, mean: Tensor
    ) -> None:
        self.layer = layer
        self.found = dict(found)
        self.mean = mean
        self._errors: dict[Rank, float] = dict(zip(found, rounded_all(errors), strict=True))

    def ranks(self) -> list[Rank]:
        """Return the computed ranks that are worthwhile."""
        return worthwhile(KERNEL, self.layer, self._errors)

    def error(self, rank: Rank) -> float:
        """Return the error of the output."""
        return self._errors[rank]

    def factors(self, rank: Rank) -> Chain:
        """Return the four convolutions."""
        layer = self.layer
        r1, r2, r3 = as_tuple(rank)
        parts = [part.double() for part in self.found[r1, r2, r3]]
        whole = _joined(parts).product().flatten(1)
        lost = (layer.grouped_weight[0] - whole) @ self.mean.double()
        return filled(layer, KERNEL.skeleton(layer, rank), parts, lost)

    def tensors(self) -> dict[str, Tensor]:
        """Return what the cache keeps."""
        kept = {"errors": torch.tensor(list(self._errors.values()), dtype=torch.float64), "mean": self.mean}
        for n, parts in enumerate(self.found.values()):
            kept |= {f"{name}.{n}": part.float() for name, part in zip(PARTS, parts, strict=True)}
        return kept


KERNEL = TTKernel()
