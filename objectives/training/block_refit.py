"""Refit by blocks: all factors of a block together, so that it gives what the dense network's block gives.

Block by block in forward order, factors are trained by Adam towards the dense network's outputs of that block, on what
reaches the block *inside the already compressed network*: errors of earlier blocks are corrected by later ones, without
labels (as in AA-SVD, 2026). Errors are weighed by what they cost the network (see `block_metrics`). A block's new
factors are kept where its outputs on held-out samples come closer.

What passes is noted once in the dense network. In the compressed one a block that takes just what the block before it
gives is called by itself, else the network runs up to it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.structure import apply, tensors_of
from ..model.mode import constant
from ..progress import CountCallback
from .block_metrics import BlockMetric, Scalar, block_metrics, main_of
from .blocks import blocks_of
from .descent import DESCENT, Descent, descend

ELEMENTS = 2**28
"""At most so many numbers of blocks' outputs are held at once (1 GiB in float32): it bounds the samples."""


@dataclass(frozen=True)
class Call:
    """What a block took in one pass, and its first floating-point output."""

    inputs: tuple[Any, ...]
    keywords: dict[str, Any]
    output: Tensor
    follows: bool
    """Whether it took the output of the block before, and else just what that took."""

    def on(self, block: nn.Module) -> Tensor:
        """Return a block's output on these inputs; a copy of them, which it may change."""
        inputs = tuple(x.clone() if isinstance(x, Tensor) else x for x in self.inputs)
        return main_of(block(*inputs, **self.keywords))


def refit_blocks(
    model: nn.Module,
    dense: nn.Module,
    layers: Sequence[str],
    batches: Sequence[Batch],
    held_out: Sequence[Batch],
    *,
    scalar: Scalar | None = None,
    by: Descent = DESCENT,
    seed: int = 0,
    progress: CountCallback | None = None,
) -> None:
    """Train, in place, the factors of every block of ``model``.

    Args:
        model: the factorized network, of plain factors, already refitted layer by layer.
        dense: the dense network.
        layers: names of the factorized layers. Blocks that do not run exactly once in every pass are left.
        batches: unlabelled samples to train on, each of the size that a training step takes.
        held_out: other samples, to choose by.
        scalar: by whose gradient outputs' errors are weighed (see `block_metrics`); alike if not given.
        by: how long, and how fast.
        seed: of the order of the batches.
        progress: called with the number of blocks done, and of all.
    """
    inside = blocks_of(dense, layers)
    with constant(dense), constant(model):
        first = _calls(dense, batches[0], inside)
        numbers = sum(call.output.numel() for calls in first.values() for call in calls)
        kept = max(1, min(len(batches), ELEMENTS // max(1, 2 * numbers) - len(held_out)))
        every = [*batches[:kept], *held_out]
        passes = [first, *(_calls(dense, batch, inside) for batch in every[1:])]
        order = [block for block in first if all(len(calls.get(block, ())) == 1 for calls in passes)]
        trained_on = every[:kept]
        metrics = {} if scalar is None else block_metrics(dense, inside, trained_on, scalar, seed)
        taken: list[Call] = []
        for done, block in enumerate(order):
            wanted = [calls[block][0] for calls in passes]
            part = model.get_submodule(block)
            if taken and all(call.follows for call in wanted):
                before = model.get_submodule(order[done - 1])
                with torch.no_grad():
                    mains = [call.on(before) for call in taken]
                taken = [replace(to, inputs=(main, *to.inputs[1:])) for to, main in zip(wanted, mains, strict=True)]
            else:
                taken = [_arrival(model, batch, part, to) for batch, to in zip(every, wanted, strict=True)]
            factors = [p for name in inside[block] for p in model.get_submodule(name).parameters()]
            error = functools.partial(_error, part, metrics.get(block, BlockMetric()))
            descend(factors, error, taken[:kept], taken[kept:], by, seed)
            if progress is not None:
                progress(done + 1, len(order))


def _error(block: nn.Module, metric: BlockMetric, call: Call) -> Tensor:
    """Return what a block misses of the dense one's output."""
    return metric.error(call.on(block), call.output)


@torch.no_grad()
def _calls(dense: nn.Module, batch: Batch, blocks: dict[str, list[str]]) -> dict[str, list[Call]]:
    """Return what each block of the dense network takes and gives on a batch, in the order of the calls."""
    found: dict[str, list[Call]] = {}
    last: list[tuple[Tensor, int, set[int]]] = []
    begun: dict[str, tuple[tuple[Any, ...], bool]] = {}

    def arrive(block: str, _: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        follows = False
        if last and inputs and inputs[0] is last[0][0]:
            main, version, context = last[0]  # a tensor that was changed in place since then has another version
            others = [id(tensor) for tensor in tensors_of((inputs[1:], keywords))]
            follows = main._version == version and context.issuperset(others)
        begun[block] = tuple(x.clone() if isinstance(x, Tensor) else x for x in inputs), follows

    def leave(block: str, _: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        main = main_of(output)
        last[:] = [(main, main._version, {id(tensor) for tensor in tensors_of((inputs[1:], keywords))})]
        taken, follows = begun.pop(block)
        found.setdefault(block, []).append(Call(taken, keywords, main.clone(), follows))

    hooks = []
    for block in blocks:
        module = dense.get_submodule(block)
        hooks.append(module.register_forward_pre_hook(functools.partial(arrive, block), with_kwargs=True))
        hooks.append(module.register_forward_hook(functools.partial(leave, block), with_kwargs=True))
    try:
        apply(dense, batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


class _Reached(BaseException):
    """A pass has come to a block, and goes no further; no user's code is to catch it."""


@torch.no_grad()
def _arrival(model: nn.Module, batch: Batch, block: nn.Module, wanted: Call) -> Call:
    """Return what reaches a block in the compressed network."""
    found: list[Call] = []

    def stop(_: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        copied = tuple(x.clone() if isinstance(x, Tensor) else x for x in inputs)
        found.append(replace(wanted, inputs=copied, keywords=keywords))
        raise _Reached

    hook = block.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        apply(model, batch.inputs)
    except _Reached:
        pass
    finally:
        hook.remove()
    return found[0]
