"""Refit: re-solve every last factor for the inputs it really gets, without labels and before any training.

Asymmetric reconstruction (Zhang et al., TPAMI 2016): layer by layer, with ``z`` what reaches the last factor
*inside the already compressed network* and ``y`` the dense network's output of that layer on the same
samples, solve that factor and the bias by least squares,

    minimise  Σ ‖W z + b − y‖²  +  λ ‖[W b] − [W₀ b₀]‖²,

so that errors of earlier layers are corrected by later ones (see `normal_equations`). Two forward passes do it for all
layers: one of the dense network, which notes each ``y``; and one of the compressed network, in which every last factor
is solved at the moment its input arrives, and then used. Batches that fit together are passed as one; others, such as
those padded to different lengths, in lock step: each waits at a layer until all have come there.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..calibration.patches import input_rows, output_rows
from ..data.batch import Batch
from ..data.structure import apply
from ..data.together import together
from ..kinds.factors import last_map
from ..model.layer import Layer, Linear
from .lock_step import LockStep
from .normal_equations import NormalEquations

REFIT_POSITIONS = 64
"""At most so many positions (pixels, tokens) of each sample enter the equations."""

ELEMENTS = 2**28
"""At most so many numbers of one layer's output are held at once (1 GiB in float32): it bounds the samples."""

MOST_RUNS = 32
"""At most so many batches that do not fit together are passed, those with most samples: it bounds the threads."""


@torch.no_grad()
def refit(model: nn.Module, dense: nn.Module, layers: Iterable[Layer], batches: Sequence[Batch]) -> None:
    """Re-solve, in place, the last factor of every factorized layer of ``model``.

    Args:
        model: the factorized network, of plain factors (see `Decomposition.factors`).
        dense: the dense network that ``layers`` were found in.
        layers: those that are factorized. One that runs more than once per input is left as it is.
        batches: unlabelled samples, a few hundred, where the networks are.
    """
    once = {layer.name: layer for layer in layers if len(layer.calls) == 1}
    if not once:
        return
    factors = {name: model.get_submodule(name) for name in once}
    last = {name: last_map(module) for name, module in factors.items()}
    widest = max(math.prod(out) for layer in once.values() for _, out in layer.calls)
    runs = together(batches[: max(1, ELEMENTS // (widest * batches[0].samples))])
    runs = sorted(runs, key=lambda batch: -batch.samples)[:MOST_RUNS]
    wanted = [_outputs(dense, batch, factors, last) for batch in runs]
    equations: dict[str, NormalEquations] = {}

    def solve(name: str) -> None:
        if name in equations:
            equations.pop(name).solve()

    steps = LockStep(solve)

    def arrive(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        targets = wanted[steps.running].pop(name, None)
        if targets is None or steps.has_passed(name):  # a second call, or one that the dense network did not make
            return
        rows = input_rows(last[name], inputs[0], REFIT_POSITIONS).flatten(0, 1)
        if len(rows) == len(targets):  # else the data went another way than through the dense network
            equations.setdefault(name, NormalEquations(last[name])).add(rows, targets)
        steps.wait(name)

    def run(batch: Batch) -> None:
        with torch.no_grad():  # in a thread of its own
            apply(model, batch.inputs)

    hooks = [last[name].register_forward_pre_hook(functools.partial(arrive, name)) for name in once]
    with _evaluating(model, hooks):
        steps([functools.partial(run, batch) for batch in runs])


def _outputs(
    dense: nn.Module, batch: Batch, factors: Mapping[str, nn.Module], last: Mapping[str, Linear]
) -> dict[str, Tensor]:
    """Return the dense network's outputs of each layer on a batch, as rows ``(n, out)`` for its last factor."""
    found: dict[str, Tensor] = {}

    def note(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        extra = factors[name]._parameters.get("bias")  # of a TT-matrix: beside its last map
        rows = output if extra is None else output - extra
        if isinstance(last[name], nn.Linear):  # whose outputs may be a part of the layer's
            rows = rows.reshape(len(rows), -1, last[name].weight.shape[0])
        found[name] = output_rows(last[name], rows, REFIT_POSITIONS).flatten(0, 1)

    # Before the user's own hooks, which the compressed layer has, too.
    hooks = [
        dense.get_submodule(name).register_forward_hook(functools.partial(note, name), prepend=True) for name in factors
    ]
    with _evaluating(dense, hooks):
        apply(dense, batch.inputs)
    return found


@contextlib.contextmanager
def _evaluating(model: nn.Module, hooks: Iterable[RemovableHandle]) -> Iterator[None]:
    """Set eval mode; at the end remove the hooks and set the mode back."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
