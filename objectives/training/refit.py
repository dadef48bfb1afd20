"""Refit: re-solve every last factor for the inputs it really gets, without labels and before any training.

Asymmetric reconstruction (Zhang et al., TPAMI 2016): layer by layer, with ``z`` what reaches the last factor
*inside the already compressed network* and ``y`` the dense network's output of that layer on the same
samples, solve that factor and the bias by least squares,

    minimise  Σ ‖W z + b − y‖²  +  λ ‖[W b] − [W₀ b₀]‖²,   λ = 1e-4 · mean diag(z zᵀ),

so that errors of earlier layers are corrected by later ones. Two forward passes do it for all layers: one
of the dense network, which notes each ``y``; and one of the compressed network on all samples at once, in
which every last factor is solved at the moment its input arrives, and then used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from ..calibration.patches import input_rows, output_rows
from ..data.batch import Batch
from ..data.structure import apply, join, length
from ..errors import RankfrontError
from ..kinds.factors import last_map
from ..model.layer import Layer, Linear

RIDGE = 1e-4
"""``λ`` relative to the mean squared input. It keeps the equations solvable where there are fewer rows than inputs."""

REFIT_POSITIONS = 64
"""At most so many positions (pixels, tokens) of each sample enter the equations."""

ELEMENTS = 2**28
"""At most so many numbers of one layer's output are held at once (1 GiB in float32): it bounds the samples."""


@torch.no_grad()
def refit(model: nn.Module, dense: nn.Module, layers: Iterable[Layer], batches: Sequence[Batch]) -> None:
    """Re-solve, in place, the last factor of every factorized layer of ``model``.

    Args:
        model: the factorized network, of plain factors (see `Decomposition.factors`).
        dense: the dense network that ``layers`` were found in.
        layers: those that are factorized. One that runs more than once per input, or where
            the data decides whether it runs, is left as it is.
        batches: unlabelled samples, a few hundred, where the networks are.
    """
    once = [layer for layer in layers if len(layer.calls) == 1 and layer.inputs == 1]
    factors = {layer.name: model.get_submodule(layer.name) for layer in once}
    last = {name: last_map(module) for name, module in factors.items()}
    targets: dict[str, list[Tensor]] = {layer.name: [] for layer in once}

    def note(layer: Layer) -> RemovableHandle:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            extra = factors[layer.name]._parameters.get("bias")  # of a TT-matrix: beside its last map
            rows = output if extra is None else output - extra
            if isinstance(last[layer.name], nn.Linear):  # whose outputs may be a part of the layer's
                rows = rows.reshape(len(rows), -1, last[layer.name].weight.shape[0])
            targets[layer.name].append(output_rows(last[layer.name], rows, REFIT_POSITIONS).flatten(0, 1))

        # Before the user's own hooks, which the compressed layer has, too.
        return dense.get_submodule(layer.name).register_forward_hook(hook, prepend=True)

    def solve(layer: Layer) -> RemovableHandle:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert module is last[layer.name]
            _solve(last[layer.name], inputs[0], torch.cat(targets.pop(layer.name)))

        return last[layer.name].register_forward_pre_hook(hook)

    widest = max((math.prod(out) for layer in once for _, out in layer.calls), default=1)
    size = length(batches[0].inputs)
    inputs = [batch.inputs for batch in batches[: max(1, ELEMENTS // (widest * size))]]
    try:
        together = join(inputs)
    except RankfrontError:  # batches padded to different lengths
        inputs, together = inputs[:1], inputs[0]
    _run(dense, inputs, [note(layer) for layer in once])
    _run(model, [together], [solve(layer) for layer in once])


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


def _solve(last: Linear, inputs: Tensor, targets: Tensor) -> None:
    """Replace ``last``'s weight and bias by the ridge solution towards their present values, group by group."""
    groups = getattr(last, "groups", 1)
    rows = input_rows(last, inputs, REFIT_POSITIONS).flatten(0, 1)
    weights = last.weight.reshape(groups, -1, last.weight[0].numel())
    biases = None if last.bias is None else last.bias.reshape(groups, -1)
    found: list[Tensor] = []
    shifts: list[Tensor] = []
    for group, (seen, wanted) in enumerate(zip(rows.chunk(groups, 1), targets.chunk(groups, 1), strict=True)):
        solved = weights[group].double()
        seen = seen.double()
        if biases is not None:
            seen = functional.pad(seen, (0, 1), value=1.0)
            solved = torch.cat([solved, biases[group].double()[:, None]], 1)
        gram = seen.T @ seen
        strength = RIDGE * gram.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
        ridge = strength * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        residual = wanted.double() - seen @ solved.T
        solved = solved + torch.linalg.solve(gram + ridge, seen.T @ residual).T
        if biases is not None:
            shifts.append(solved[:, -1])
            solved = solved[:, :-1]
        found.append(solved)
    last.weight.copy_(torch.cat(found).reshape(last.weight.shape))
    if last.bias is not None:
        last.bias.copy_(torch.cat(shifts))
