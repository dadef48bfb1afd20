"""Refit: re-solve every last factor for the inputs it really gets, without labels and before any training.

Asymmetric reconstruction (Zhang et al., TPAMI 2016): layer by layer, with ``z`` what reaches the last factor
*inside the already compressed network* and ``y`` the dense network's output of that layer on the same
samples, solve that factor and the bias by least squares,

    minimise  Σ ‖W z + b − y‖²  +  λ ‖[W b] − [W₀ b₀]‖²,

so that errors of earlier layers are corrected by later ones (see `normal_equations`). Every batch passes both networks
in lock step: all passes wait at a layer until it is solved, so the numbers of one layer alone are held. Batches that
fit together are passed as one, as far as the model's largest batch allows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from ..calibration.patches import input_rows, output_rows
from ..data.batch import Batch
from ..data.structure import apply
from ..data.together import together
from ..kinds.factors import last_map
from ..model.layer import Layer, Linear
from ..model.mode import in_mode
from .lock_step import LockStep
from .normal_equations import NormalEquations

REFIT_POSITIONS = 64
"""At most so many positions (pixels, tokens) of each sample enter the equations."""

ELEMENTS = 2**28
"""At most so many numbers of one layer's output are held at once (1 GiB in float32): it bounds the samples."""

MOST_RUNS = 32
"""At most so many batches are passed, those with most samples: it bounds the threads, two for each."""


@torch.no_grad()
def refit(
    model: nn.Module, dense: nn.Module, layers: Iterable[Layer], batches: Sequence[Batch], batch_size: int | None = None
) -> None:
    """Re-solve, in place, the last factor of every factorized layer of ``model``.

    Args:
        model: the factorized network, of plain factors (see `Decomposition.factors`).
        dense: the dense network that ``layers`` were found in.
        layers: those that are factorized. One that runs more than once per input is left as it is.
        batches: unlabelled samples, a few hundred, where the networks are.
        batch_size: batches are put together up to so many samples; without it all that fit.
    """
    once = {layer.name: layer for layer in layers if len(layer.calls) == 1}
    if not once:
        return
    factors = {name: model.get_submodule(name) for name in once}
    last = {name: last_map(module) for name, module in factors.items()}
    widest = max(math.prod(out) for layer in once.values() for _, out in layer.calls)
    runs = together(batches[: max(1, ELEMENTS // (widest * batches[0].samples))], batch_size)
    runs = sorted(runs, key=lambda batch: -batch.samples)[:MOST_RUNS]
    given: dict[str, dict[int, Tensor]] = {name: {} for name in once}
    wanted: dict[str, dict[int, Tensor]] = {name: {} for name in once}

    def solve(name: str) -> None:
        equations, targets = NormalEquations(last[name]), wanted.pop(name)
        for run, rows in given.pop(name).items():
            if run in targets and len(rows) == len(targets[run]):  # else the data took another way in the dense network
                equations.add(rows, targets[run])
        equations.solve()

    steps = LockStep(solve)

    @torch.no_grad()  # whatever the model's forward enables
    def arrive(name: str, rows: dict[str, dict[int, Tensor]], found: Callable[[], Tensor]) -> None:
        run = steps.running // 2
        if not steps.has_passed(name) and run not in rows[name]:  # else a second call
            rows[name][run] = found().flatten(0, 1)
            steps.wait(name)

    def note_input(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        arrive(name, given, lambda: input_rows(last[name], inputs[0], REFIT_POSITIONS))

    def note_output(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        arrive(name, wanted, lambda: _wanted(factors[name], last[name], output))

    def run(network: nn.Module, batch: Batch) -> None:
        with torch.no_grad():  # in a thread of its own
            apply(network, batch.inputs)

    hooks = [last[name].register_forward_pre_hook(functools.partial(note_input, name)) for name in once]
    # Before the user's own hooks, which the compressed layer has, too.
    hooks += [
        dense.get_submodule(name).register_forward_hook(functools.partial(note_output, name), prepend=True)
        for name in once
    ]
    try:
        with in_mode(model, training=False), in_mode(dense, training=False):
            steps([functools.partial(run, network, batch) for batch in runs for network in (dense, model)])
    finally:
        for hook in hooks:
            hook.remove()


def _wanted(factors: nn.Module, last: Linear, output: Tensor) -> Tensor:
    """Return the dense layer's output as rows ``(N, positions, out)`` that its last factor is to give."""
    extra = factors._parameters.get("bias")  # of a TT-matrix: beside its last map
    rows = output if extra is None else output - extra
    if isinstance(last, nn.Linear):  # whose outputs may be a part of the layer's
        rows = rows.unflatten(-1, (-1, last.weight.shape[0]))
    return output_rows(last, rows, REFIT_POSITIONS)
