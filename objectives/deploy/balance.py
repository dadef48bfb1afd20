"""Channels between two factors, made equally large before they become int8.

Factors of an SVD give channels as different as the singular values, and one range of int8 for all of them leaves the
small ones nothing. With nothing between two factors, ``last · first = (last T⁻¹)(T first)`` for any invertible T.
Here ``T = Q D``: D balances each channel against what it is multiplied by, as cross-layer equalization does (Nagel et
al., 2019), and the random rotation Q spreads what is left over all channels (QuaRot, Ashkboos et al., 2024).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..data.batch import Batch
from ..data.calling import apply
from ..model.copying import copied
from ..model.stand_in import Chain

Factor = nn.Linear | _ConvNd


@torch.no_grad()
def balanced(model: nn.Module, batches: Iterable[Batch]) -> nn.Module:
    """Return a copy of a network of the same function, its channels between factors equally large on these batches.

    Args:
        model: in eval mode on the CPU.
        batches: of training samples.
    """
    found = copied(model)
    pairs = [*_pairs(found)]
    if not pairs:
        return found
    squares: dict[nn.Module, list[Tensor]] = defaultdict(list)

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        axis = -1 if isinstance(module, nn.Linear) else -1 - len(module.kernel_size)  # pyright: ignore[reportArgumentType]
        squares[module].append(output.double().movedim(axis, -1).flatten(0, -2).square().mean(0))

    hooks = [first.register_forward_hook(note) for first, _ in pairs]
    for batch in batches:
        apply(found, batch.inputs)
    for hook in hooks:
        hook.remove()
    draw = torch.Generator().manual_seed(0)
    for first, last in pairs:
        if first in squares:
            _balance(first, last, torch.stack(squares[first]).mean(0).sqrt(), draw)
    return found


def _pairs(model: nn.Module) -> Iterator[tuple[Factor, Factor]]:
    """Yield neighbours in chains of factors, where every channel of the one is one of the other."""
    for chain in model.modules():
        if isinstance(chain, Chain):
            for first, last in pairwise(chain):
                if all(type(each) is nn.Linear or _is_plain(each) for each in (first, last)):
                    yield first, last  # pyright: ignore[reportReturnType]


def _is_plain(module: nn.Module) -> bool:
    """Return whether it is a convolution of one group, whose padding is zeros."""
    return (
        isinstance(module, _ConvNd) and module.groups == 1 and not module.transposed and module.padding_mode == "zeros"
    )


def _balance(first: Factor, last: Factor, sizes: Tensor, draw: torch.Generator) -> None:
    """Change the basis of the channels between two factors, given their root mean squares ``(r,)``; in place."""
    inner, outer = first.weight.double(), last.weight.double()
    weights = outer.movedim(1, 0).flatten(1).norm(dim=1)
    usable = (sizes > 0) & (weights > 0)
    balance = torch.where(usable, weights / sizes.where(usable, sizes.new_ones(())), weights.new_ones(())).sqrt()
    rotation = torch.linalg.qr(torch.randn(len(sizes), len(sizes), dtype=torch.float64, generator=draw)).Q
    change, inverse = rotation * balance, rotation.mT / balance[:, None]
    first.weight.copy_((change @ inner.flatten(1)).view_as(inner))
    if first.bias is not None:
        first.bias.copy_(change @ first.bias.double())
    last.weight.copy_(torch.einsum("oi...,ij->oj...", outer, inverse))
