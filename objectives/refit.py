"""Refit: re-solve every second factor for the inputs it really gets, without labels and before any training.

Asymmetric reconstruction (Zhang et al., TPAMI 2016): layer by layer, with ``z`` the first factor's output
*inside the already compressed network* and ``y`` the dense network's output of that layer on the same
samples, solve the second factor and the bias by least squares,

    minimise  Σ ‖W z + b − y‖²  +  λ ‖[W b] − [W₀ b₀]‖²,   λ = 1e-4 · mean diag(z zᵀ),

so that errors of earlier layers are made good by later ones. Two forward passes do it for all layers: one
of the dense network, which notes each ``y``; and one of the compressed network on all samples at once, in
which every second factor is solved at the moment its input arrives, and then used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from .data import Batch, apply, join, length
from .layer import Layer

RIDGE = 1e-4
POSITIONS = 64
"""At most so many positions (pixels, tokens) of each sample enter the equations."""
ELEMENTS = 2**28
"""At most so many numbers of one layer's output are held at once (1 GiB in float32): it bounds the samples."""


@torch.no_grad()
def refit(model: nn.Module, dense: nn.Module, layers: Iterable[Layer], batches: Sequence[Batch]) -> None:
    """Re-solve, in place, the second factor of every factorized layer of ``model``.

    Args:
        model: the factorized network; ``layers`` lie in it under their names as two-module sequences.
        dense: the dense network that ``layers`` were found in.
        layers: those that are factorized. One that runs more than once per input is left as it is.
        batches: unlabelled samples, a few hundred, where the networks are.
    """
    once = [layer for layer in layers if len(layer.calls) == 1]
    targets: dict[str, list[Tensor]] = {layer.name: [] for layer in once}

    def note(name: str) -> RemovableHandle:
        def hook(module: nn.Module, _: object, output: Tensor) -> None:
            targets[name].append(_rows(module, output))

        return dense.get_submodule(name).register_forward_hook(hook)

    def solve(name: str) -> RemovableHandle:
        last = model.get_submodule(name).get_submodule("1")
        assert isinstance(last, (nn.Linear, nn.Conv2d))

        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            _solve(last, inputs[0], torch.cat(targets.pop(name)))

        return last.register_forward_pre_hook(hook)

    widest = max((math.prod(out) for layer in once for _, out in layer.calls), default=1)
    size = length(batches[0].inputs)
    inputs = [batch.inputs for batch in batches[: max(1, ELEMENTS // (widest * size))]]
    try:
        together = join(inputs)
    except RuntimeError:  # batches padded to different lengths
        inputs, together = inputs[:1], inputs[0]
    _run(dense, inputs, [note(layer.name) for layer in once])
    _run(model, [together], [solve(layer.name) for layer in once])


def _run(model: nn.Module, inputs: Iterable[object], hooks: list[RemovableHandle]) -> None:
    was_training = model.training
    model.eval()
    try:
        for batch in inputs:
            apply(model, batch)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()


def _solve(last: nn.Linear | nn.Conv2d, inputs: Tensor, targets: Tensor) -> None:
    """Replace ``last``'s weight and bias by the ridge solution towards their present values."""
    rows = _rows(last, inputs).double()
    weight = last.weight.flatten(1).double()
    if last.bias is not None:
        rows = functional.pad(rows, (0, 1), value=1.0)
        weight = torch.cat([weight, last.bias.double()[:, None]], 1)
    gram = rows.T @ rows
    strength = RIDGE * gram.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
    ridge = strength * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    residual = targets.double() - rows @ weight.T
    weight = weight + torch.linalg.solve(gram + ridge, rows.T @ residual).T
    if last.bias is not None:
        last.bias.copy_(weight[:, -1])
        weight = weight[:, :-1]
    last.weight.copy_(weight.view_as(last.weight))


def _rows(module: nn.Module, values: Tensor) -> Tensor:
    """Return what a Linear or convolution takes or gives, a row a position that counts: ``(N · p, features)``."""
    tokens = isinstance(module, nn.Linear)
    flat = values.reshape(len(values), -1, values.shape[-1]) if tokens else values.flatten(2).mT
    return flat[:, _positions(flat.shape[1], flat.device)].flatten(0, 1)


def _positions(total: int, device: torch.device) -> Tensor:
    """Return the same positions for a layer's inputs and outputs: all, or some drawn at random once."""
    if total <= POSITIONS:
        return torch.arange(total, device=device)
    drawn = torch.randperm(total, generator=torch.Generator().manual_seed(total))[:POSITIONS]
    return drawn.sort().values.to(device)
