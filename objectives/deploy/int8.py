"""int8 as a choice for each layer: those whose int8 moves the network's outputs most stay in floating point.

All layers become int8 first. Where the file's outputs are then too far from the network's, each layer is rounded to
int8 by itself, in PyTorch, to see how far it alone moves them. Those that move them most, for their size, go back to
floating point: 1, 2, 4, 8 … of them, until the file is near enough or has no more bytes for them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from ..data.batch import Batch
from ..data.calling import apply
from ..engines.eager import outputs_of

ENOUGH = 0.05
"""How far int8 may move the outputs on training samples, root mean square: then no layer goes back. Of the networks of
`benchmarks/int8.py` those moved by less keep their accuracy within 0.1 points."""

Kinds8 = Mapping[str, tuple[type[nn.Linear | _ConvNd], ...]]
"""How a format can write a network as int8 → which layers become it."""

LINEARS: tuple[type[nn.Linear | _ConvNd], ...] = (nn.Linear,)
LAYERS = (*LINEARS, _ConvNd)

SAMPLES = 64
"""At least so many training samples each layer is rounded on; a batch is not cut."""


@dataclass(frozen=True)
class Int8:
    """How a network becomes int8."""

    how: str
    """``weights``, ``dynamic`` or ``static``."""
    floats: frozenset[str] = frozenset()
    """The names of the weights that stay in floating point, as ``named_parameters`` has them."""


@dataclass(frozen=True)
class Written8:
    """What a file with some layers as int8 is like."""

    error: float
    """By how much its outputs on training samples differ from the network's: a share, root mean square."""
    bytes: int


def written_int8(
    how: str,
    model: nn.Module,
    batches: Sequence[Batch],
    write: Callable[[Int8], Written8],
    *,
    types: tuple[type, ...] = LAYERS,
    enough: float = ENOUGH,
    limit: float = float("inf"),
) -> Int8:
    """Write files, each with more layers in floating point, until one is near enough to the network.

    Args:
        how: ``weights``, ``dynamic`` or ``static``.
        model: the network, in eval mode on the CPU.
        batches: of training samples.
        write: writes a file in the place of the last one.
        types: of layers that become int8.
        enough: how far its outputs may be moved, root mean square.
        limit: bytes of the file, beyond which no layer goes back.

    Returns:
        What was written last.
    """
    made = Int8(how)
    first = found = write(made)
    layers, order = layers_of(model, types), list[str]()
    weights = {name: modules[0].weight for name, modules in layers.items()}
    while found.error > enough:
        if not order:
            moved = layer_errors(model, layers, batches, activations=how != "weights")
            order = sorted(moved, key=lambda name: -moved[name] / weights[name].numel())
        taken, spare = [], limit - first.bytes
        for name in order:
            more = weights[name].numel() * (weights[name].element_size() - 1)
            if more <= spare and len(taken) < max(1, 2 * len(made.floats)):
                taken.append(name)
                spare -= more
        if len(taken) == len(made.floats):
            break
        made = Int8(how, frozenset(taken))
        found = write(made)
    return made


Layers = Mapping[str, Sequence[nn.Linear | _ConvNd]]


def layers_of(model: nn.Module, types: tuple[type, ...] = LAYERS) -> dict[str, list[nn.Linear | _ConvNd]]:
    """Return the layers of these types by the names of their weights; those that share one together."""
    found: dict[str, list[nn.Linear | _ConvNd]] = {}
    names: dict[int, str] = {}
    for path, module in model.named_modules():
        weight = module._parameters.get("weight")  # one that is computed (kind `stored`) belongs to no single layer
        if isinstance(module, (nn.Linear, _ConvNd)) and isinstance(module, types) and weight is not None:
            name = names.setdefault(id(weight), f"{path}.weight" if path else "weight")
            found.setdefault(name, []).append(module)
    return found


@torch.no_grad()
def layer_errors(model: nn.Module, layers: Layers, batches: Sequence[Batch], *, activations: bool) -> dict[str, float]:
    """Return by how much each layer moves the network's outputs where it alone is rounded to int8: squared, a share.

    Args:
        model: in eval mode; it is left as it was.
        layers: of it, by the names of their weights.
        batches: the first of them are used.
        activations: whether what the layer takes is rounded, too.
    """
    used: list[Batch] = []
    for batch in batches:
        if sum(each.samples for each in used) < SAMPLES:
            used.append(batch)
    expected = [outputs_of(apply(model, batch.inputs)) for batch in used]
    whole = sum(_squares(tensor) for tensors in expected for tensor in tensors) or 1.0
    moved: dict[str, float] = {}
    for name, modules in layers.items():
        with _rounded(modules, activations):
            found = [outputs_of(apply(model, batch.inputs)) for batch in used]
        pairs = zip(found, expected, strict=True)
        moved[name] = sum(_squares(a - b) for x, y in pairs for a, b in zip(x, y, strict=True)) / whole
    return moved


def _squares(tensor: Tensor) -> float:
    finite = tensor[torch.isfinite(tensor)]
    return float(finite.double().square().sum())


@contextlib.contextmanager
def _rounded(modules: Sequence[nn.Linear | _ConvNd], activations: bool) -> Iterator[None]:
    """Round a weight that modules share to int8, and what they take, in the context."""
    weight = modules[0].weight
    kept = weight.data
    hooks = [module.register_forward_pre_hook(_round_inputs) for module in modules if activations]
    weight.data = rounded_weight(kept, 1 if isinstance(modules[0], _ConvTransposeNd) else 0)
    try:
        yield
    finally:
        weight.data = kept
        for hook in hooks:
            hook.remove()


def rounded_weight(weight: Tensor, axis: int) -> Tensor:
    """Return a weight rounded to int8 with a scale for each index along an axis."""
    others = [dim for dim in range(weight.ndim) if dim != axis]
    scale = (weight.abs().amax(others, keepdim=True) / 127).clamp_min(torch.finfo(weight.dtype).tiny)
    return (weight / scale).round() * scale


def _round_inputs(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    x, *others = given
    low, high = x.min().clamp_max(0), x.max().clamp_min(0)
    scale = ((high - low) / 255).clamp_min(torch.finfo(x.dtype).tiny)
    return ((x - low) / scale).round() * scale + low, *others
