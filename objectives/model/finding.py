"""The layers of a dense model that can be factorized, found by traced passes (see `trace`), and why the others stay."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..boundary import sentence
from ..data.structure import Inputs
from ..errors import RankfrontError
from .hints import of_inputs
from .layer import TYPES, Layer
from .multiplications import Use
from .replace import can_replace
from .stored import Stored, Whole, stored_of
from .stored_layer import stored_layer
from .trace import Refused, Several, Trace, trace


@dataclass(frozen=True)
class Layers:
    """The layers found, in the order of ``named_modules()``, and why each other one is left dense."""

    found: tuple[Layer, ...]
    left_dense: dict[str, str]
    """Path of a module that stays dense → why."""
    example: Inputs | Several = None
    """What amounts for one input are counted on: the example, or several samples where the data decides what runs."""
    uses: Mapping[str, Sequence[Use]] = field(default_factory=dict[str, Sequence[Use]])
    """Name of a parameter → its multiplications while samples were passed in eval mode."""

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


def find_layers(
    model: nn.Module,
    example: Inputs,
    exclude: Iterable[str] = (),
    samples: Sequence[Inputs] = (),
    together: Inputs | None = None,
) -> Layers:
    """Find the layers that can be factorized.

    Args:
        model: the dense model; it is run in eval mode, a copy of it in training mode, and left as it was.
        example: inputs of one sample, a batch of one.
        exclude: name patterns (``fnmatch``: ``*``, ``?``, ``[…]``) of layers to leave dense.
        samples: inputs of further samples, each a batch of one: the example may not reach every layer.
        together: a batch of samples for a pass in training mode; none if not given.

    Raises:
        RankfrontError: the model refuses the example, or a pattern matches no layer.
    """
    uses = _uses_of_weights(model)
    traced = _traced(model, example, samples, together)
    patterns = tuple(exclude)
    stored = [stored_layer(path, module) for path, module in model.named_modules() if isinstance(module, Stored)]
    names = [path for paths in uses.values() for path, _ in paths]
    names += [name for layer in stored for name in layer.names]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise RankfrontError(f"exclude must match a layer by name, but {pattern!r} matches none")
    found: list[Layer] = []
    left_dense: dict[str, str] = {}
    for users in uses.values():
        paths = tuple(path for path, _ in users)
        possible, reason = _can_factorize(model, users, traced)
        excluding = next((p for p in patterns if any(fnmatchcase(path, p) for path in paths)), None)
        if possible and excluding is not None:
            possible, reason = False, f"excluded by {excluding!r}"
        if not possible:
            left_dense.update(dict.fromkeys(paths, reason))
            continue
        module = users[0][1]
        assert isinstance(module, TYPES)
        found.append(Layer(paths[0], paths, module, *traced.seen(paths)))
    for layer in stored:
        excluding = next((p for p in patterns if any(fnmatchcase(name, p) for name in layer.names)), None)
        reads = traced.seen([f"{layer.name}.0"])
        if excluding is not None:
            left_dense[layer.name] = f"excluded by {excluding!r}"
        elif not reads.calls:
            left_dense[layer.name] = traced.reached([f"{layer.name}.0"])[1]
        else:
            _check_finite(layer.parameter, layer.module.weight)
            layer = replace(layer, inputs=reads.inputs)
            found.append(replace(layer, reads=layer.per_input(len(reads.calls))))
    return Layers(tuple(found), left_dense, traced.measured, traced.uses)


def _uses_of_weights(model: nn.Module) -> dict[int, list[tuple[str, nn.Module]]]:
    """Group every path to a Linear or convolution by the identity of its weight."""
    uses: dict[int, list[tuple[str, nn.Module]]] = defaultdict(list)
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, TYPES) and not any(isinstance(held, Stored) for held in stored_of(module)):
            weight = module._parameters.get("weight")
            uses[id(module if weight is None else weight)].append((path, module))
    return uses


def _traced(model: nn.Module, example: Inputs, samples: Iterable[Inputs], together: Inputs | None) -> Trace:
    try:
        return trace(model, example, lambda module: isinstance(module, (*TYPES, Whole)), samples, together)
    except Refused as refused:
        where = ""
        if refused.module is not None and refused.shape is not None:
            where = f"layer {_named(model, refused.module)}, given {tuple(refused.shape)}: "
        why = f"{where}{sentence(refused.__cause__ or refused)}{of_inputs(model, example)}"
        raise RankfrontError(f"the model must accept a sample of the training data, but: {why}") from refused.__cause__


def _can_factorize(model: nn.Module, users: list[tuple[str, nn.Module]], traced: Trace) -> tuple[bool, str]:
    """Return whether the weight that modules share can be factorized, and why not; ``users`` by path."""
    modules = list({id(module): module for _, module in users}.values())
    module = modules[0]
    for m in modules:
        if type(m) not in TYPES:
            return False, f"{type(m).__name__} is a subclass with a behaviour of its own"
        if m._parameters.get("weight") is None:
            return False, "its weight is computed from others (weight norm, pruning …)"
        if isinstance(m, _ConvNd) and m.groups > 1 and m.in_channels == m.groups:
            return False, "a depthwise convolution"
        reached, reason = traced.reached([path for path, user in users if user is m])
        if not reached and any(f"{path}.weight" in traced.uses for path, _ in users):
            return False, "its weight is multiplied by a function, not by the module"
        if not reached:
            return False, reason
    assert isinstance(module, TYPES)
    possible, reason = can_replace(modules)
    if not possible:
        return False, reason
    if not module.weight.is_floating_point():
        return False, f"its weight is {module.weight.dtype}"
    _check_finite(_named(model, module), module.weight)
    if isinstance(module, _ConvNd):
        geometry = {(m.stride, m.padding, m.output_padding, m.dilation, m.padding_mode) for m in modules}  # pyright: ignore
        if len(geometry) > 1:
            return False, "convolutions of different geometry share its weight"
    if len({id(m.bias) for m in modules}) > 1:
        return False, "modules with biases of their own share its weight"
    for owner in model.modules():
        for parameter in owner.parameters(recurse=False):
            if parameter is module.weight and all(owner is not m for m in modules):
                return False, f"its weight is shared with a {type(owner).__name__}"
    if math.prod(module.weight.shape) == 0:
        return False, "its weight is empty"
    return True, ""


def _check_finite(name: str, weight: Tensor) -> None:
    if not bool(torch.isfinite(weight).all()):
        raise RankfrontError(f"weights must be finite, but those of layer {name} hold NaN or infinity")


def _named(model: nn.Module, module: nn.Module) -> str:
    """Return a layer's name, type and the shape of its weight."""
    path = next(path for path, m in model.named_modules() if m is module)
    weight = module._parameters.get("weight")
    return f"{path} {type(module).__name__}{tuple(weight.shape) if weight is not None else ''}"


def layers_named(model: nn.Module, names: Iterable[str]) -> dict[str, Layer]:
    """Return the layers of those names without running the model: their ``calls`` are unknown, empty."""
    users_of = {users[0][0]: users for users in _uses_of_weights(model).values()}
    layers: dict[str, Layer] = {}
    wanted = set(names)
    for name in wanted:
        module = users_of[name][0][1] if name in users_of else None
        if isinstance(module, TYPES):
            layers[name] = Layer(name, tuple(path for path, _ in users_of[name]), module, ())
    for name, module in model.named_modules():
        if isinstance(module, Stored) and name in wanted:
            layers[name] = stored_layer(name, module)
    return layers
