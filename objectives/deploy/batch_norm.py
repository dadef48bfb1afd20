"""Fold batch norm, whose statistics no longer change, into the Linear or convolution before it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

aten = torch.ops.aten

BATCH_NORM = aten.batch_norm.default
LINEAR = aten.linear.default
CONVOLUTIONS = (
    aten.conv1d.default,
    aten.conv2d.default,
    aten.conv3d.default,
    aten.conv1d.padding,
    aten.conv2d.padding,
    aten.conv3d.padding,
)
"""What batch norm is folded into: weights ``(out, …)``, outputs along dimension 1."""


@torch.no_grad()
def fold_batch_norm(module: GraphModule) -> GraphModule:
    """Fold each batch norm whose input is what one Linear or convolution gives to it alone; in place.

    Args:
        module: of an exported program, in eval mode.

    Returns:
        The module.
    """
    for norm, layer in list(_pairs(module)):
        scale, shift = _affine(module, norm)
        weight, bias = (_tensor(module, argument) for argument in _weights(layer))
        assert weight is not None
        scaled = weight.double() * scale.view(-1, *[1] * (weight.ndim - 1))
        moved = shift if bias is None else shift + scale * bias.double()
        with module.graph.inserting_before(layer):
            path = _path_of(module, layer)
            made = [_parameter(module, f"{path}.{name}".lstrip("."), value.to(weight.dtype), layer)
                    for name, value in (("weight", scaled), ("bias", moved))]  # fmt: skip
        layer.args = (layer.args[0], *made, *layer.args[3:])
        norm.replace_all_uses_with(layer)
        module.graph.erase_node(norm)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _pairs(module: GraphModule) -> Iterator[tuple[Node, Node]]:
    """Yield each batch norm that can be folded, and the layer before it."""
    for norm in module.graph.nodes:
        if norm.target is not BATCH_NORM or norm.args[5]:  # which would take the batch's statistics
            continue
        layer = norm.args[0]
        if not isinstance(layer, Node) or len(layer.users) != 1 or norm.args[3] is None:
            continue
        # Of a Linear on sequences batch norm's dimension 1 is not that of the outputs.
        flat = layer.target is LINEAR and layer.meta["val"].ndim == 2
        if (flat or layer.target in CONVOLUTIONS) and all(
            argument is None or (isinstance(argument, Node) and argument.op == "get_attr")
            for argument in _weights(layer)
        ):
            yield norm, layer


def _weights(layer: Node) -> tuple[object, object]:
    """Return the arguments that hold a layer's weight and bias."""
    return layer.args[1], layer.args[2] if len(layer.args) > 2 else None


def _affine(module: GraphModule, norm: Node) -> tuple[Tensor, Tensor]:
    """Return what a batch norm multiplies each channel by, and what it then adds."""
    weight, bias, mean, variance = (_tensor(module, argument) for argument in norm.args[1:5])
    assert mean is not None and variance is not None
    scale = (variance.double() + float(norm.args[7])).rsqrt()  # pyright: ignore[reportArgumentType]
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale
    return scale, shift if bias is None else shift + bias.double()


def _tensor(module: GraphModule, argument: object) -> Tensor | None:
    if not isinstance(argument, Node):
        return None
    path, _, name = str(argument.target).rpartition(".")
    return getattr(module.get_submodule(path), name)


def _path_of(module: GraphModule, layer: Node) -> str:
    """Return where a layer's folded parameters go: to its own place, unless another layer reads these, too."""
    weight, bias = _weights(layer)
    targets = [str(each.target) for each in (weight, bias) if isinstance(each, Node)]
    readers = [node for node in module.graph.nodes if node.op == "get_attr" and str(node.target) in targets]
    path = targets[0].rpartition(".")[0]
    alone = len(readers) == len(targets) and all(len(node.users) == 1 for node in readers)
    own = targets == [f"{path}.{each}".lstrip(".") for each in ("weight", "bias")[: len(targets)]]
    if alone and own:
        return path
    return f"folded_{layer.name}"


def _parameter(module: GraphModule, target: str, value: Tensor, layer: Node) -> Node:
    path, _, name = target.rpartition(".")
    if path and path not in dict(module.named_modules()):
        module.add_submodule(path, nn.Module())
    module.get_submodule(path).register_parameter(name, nn.Parameter(value, requires_grad=False))
    return layer.graph.get_attr(target)
