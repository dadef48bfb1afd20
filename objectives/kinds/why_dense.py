"""Why each parameter that no factorization takes stays dense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import nn
from torch.jit import ScriptModule

from ..model.finding import Layers
from ..model.stored import Stored
from ..model.stored_layer import stored_layer
from .kind import Kind
from .left_dense import Group, LeftDense

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def left_dense(model: nn.Module, layers: Layers, kinds: Mapping[str, Sequence[Kind]]) -> LeftDense:
    """Sum up what stays dense.

    Args:
        model: the dense model that the layers were found in.
        layers: its layers, and why other modules are none.
        kinds: those that apply to each layer, by the layer's name.
    """
    owners = owners_of(model)
    taken: set[int] = set()
    small: set[int] = set()
    for layer in layers:
        saves = any(kind.cost(layer, kind.smallest(layer)).params < layer.params for kind in kinds[layer.name])
        ids = {id(parameter) for path in layer.paths for parameter in model.get_submodule(path).parameters()}
        taken |= ids if saves else set()
        small |= set() if saves else ids
    params: Counter[tuple[str, str]] = Counter()
    holders: dict[tuple[str, str], Counter[str]] = {}
    for name, parameter in model.named_parameters():
        if id(parameter) not in taken:
            of = owners[id(parameter)]
            key = why_dense(model, name, of, layers.left_dense, small=id(parameter) in small)
            params[key] += parameter.numel()
            holders.setdefault(key, Counter())[owners[id(parameter)][0][0]] += parameter.numel()
    groups = (
        Group(*key, len(holders[key]), count, holders[key].most_common(1)[0][0]) for key, count in params.most_common()
    )
    return LeftDense(sum(parameter.numel() for parameter in model.parameters()), tuple(groups))


def _type(model: nn.Module, path: str, module: nn.Module) -> str:
    """Return the type of the user's module that holds a parameter."""
    if isinstance(module, Stored):
        module = model.get_submodule(stored_layer(path, module).owner)
    return type(module).__name__.removeprefix("Parametrized")


def owners_of(model: nn.Module) -> dict[int, list[tuple[str, nn.Module]]]:
    """Return the modules that hold each parameter, with their paths, by the parameter's identity."""
    owners: dict[int, list[tuple[str, nn.Module]]] = {}
    for path, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((path, module))
    return owners


def why_dense(
    model: nn.Module,
    name: str,
    owners: Sequence[tuple[str, nn.Module]],
    reasons: Mapping[str, str],
    *,
    small: bool = False,
) -> tuple[str, str]:
    """Return what a parameter that stays dense is, and why it does.

    Args:
        model: the dense model.
        name: the parameter's.
        owners: the modules that hold it.
        reasons: path of a module that stays dense → why.
        small: whether it is a layer's that no kind makes smaller.
    """
    path, module = owners[0]
    kind = _type(model, path, module)
    reason = next((reasons[at] for at, _ in owners if at in reasons), None)
    looked_up = any(isinstance(owner, EMBEDDINGS) for _, owner in owners)
    if looked_up and len(owners) > 1:
        return "weight shared with an embedding", "one table is looked up and multiplied by"
    if looked_up:
        return "embedding", "its rows are looked up, nothing is multiplied by them"
    if small:
        return kind, "too small for a factorization to save parameters"
    if isinstance(module, ScriptModule):
        return kind, "what it computes is scripted: give the module that was scripted to have it factorized"
    own = name.rpartition(".")[2]
    if reason == "a depthwise convolution":
        return "depthwise convolution", "each channel has its own small kernel"
    vector = "bias" in own or getattr(module, own).ndim < 2
    if reason is not None and not (vector and isinstance(module, nn.RNNBase | nn.RNNCellBase)):
        return kind, reason
    if "norm" in kind.lower():
        return kind, "scales and shifts"
    if vector:
        return kind, "biases and other vectors"
    above = [path.rsplit(".", count)[0] for count in range(1, path.count(".") + 1)]
    return kind, next((reasons[at] for at in above if at in reasons), "no matrix of a multiplication")
