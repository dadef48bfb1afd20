"""Weight-only int8 of a network's Linears, by torchao, with one scale and zero point a row.

Convolutions are not quantized: torchao has no weight-only int8 for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from types import ModuleType

import torch
from torch import Tensor, nn

from ..errors import RankfrontError
from ..io.saved import Entry, entries, unique_state
from ..kinds.skeleton import skeleton
from ..model.copying import copied
from ..model.mode import in_eval
from ..plan import Plan
from .quiet import registering_torchao


def quantized(model: nn.Module, floats: Collection[str] = ()) -> nn.Module:
    """Return a copy of ``model`` whose Linear weights are int8, but those of these names.

    Raises:
        RankfrontError: torchao is not installed.
    """
    quantization, _ = _torchao()
    return _quantized(model, quantization.Int8WeightOnlyConfig(), floats)


def dynamically_quantized(model: nn.Module, floats: Collection[str] = ()) -> nn.Module:
    """Return a copy of ``model`` whose Linears, too, turn what they take into int8, row by row, in every pass.

    Raises:
        RankfrontError: torchao is not installed.
    """
    quantization, _ = _torchao()
    return _quantized(model, quantization.Int8DynamicActivationInt8WeightConfig(), floats)


def _quantized(model: nn.Module, config: object, floats: Collection[str]) -> nn.Module:
    quantization, _ = _torchao()
    names = {name for name in linears(model) if weight_of(name) not in floats}
    found = copied(model)
    quantization.quantize_(found, config, lambda _, name: name in names)
    return found


def linears(model: nn.Module) -> set[str]:
    """Return the names of the Linears that become int8: those that share their weight with no other module."""
    users = Counter(id(p) for m in model.modules() for p in m.parameters(recurse=False))
    return {
        name
        for name, m in model.named_modules()
        if type(m) is nn.Linear and users[id(m.weight)] == 1 and m.weight.numel() and not _is_column(m.weight)
    }


def weight_of(module: str) -> str:
    """Return the name of a module's weight."""
    return f"{module}.weight" if module else "weight"


def _is_column(weight: Tensor) -> bool:
    """Return whether a weight is a single column: torchao fails on it, and a scale a row would take more than it."""
    return weight.shape[1] == 1 < weight.shape[0]


def entries_of_quantized(model: nn.Module) -> list[Entry]:
    """Return the tensors that a saved file of ``quantized(model)`` holds, without quantizing."""
    names = {weight_of(name) for name in linears(model)}
    found: list[Entry] = []
    for entry in entries(model):
        if entry.name not in names:
            found.append(entry)
            continue
        path = entry.name.removesuffix("weight")
        rows = entry.shape[0], 1
        found.append(Entry(f"{path}_weight_qdata", entry.shape, torch.int8))
        found.append(Entry(f"{path}_weight_scale", rows, entry.dtype))
        found.append(Entry(f"{path}_weight_zero_point", rows, torch.int8))
    return found


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """Return a quantized model's state as plain tensors, for a safetensors file."""
    _, tensors = _torchao()
    return tensors.flatten_tensor_state_dict(unique_state(model))[0]


def restored(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Return ``quantized(model)`` with the plain tensors of a file as its weights.

    The file's description of its tensors is not read; the model alone determines their types.
    """
    _, tensors = _torchao()
    names = {weight_of(name) for name in linears(model)}
    floats = {name: tensor for name, tensor in state.items() if name in unique_state(model)}
    model.load_state_dict(floats, strict=False)  # in place: ties stay
    like = quantized(model)
    _, description = tensors.flatten_tensor_state_dict(unique_state(like))
    whole = tensors.unflatten_tensor_state_dict(dict(state), description)
    whole = whole[0] if isinstance(whole, tuple) else whole
    like.load_state_dict({name: whole[name] for name in names}, strict=False, assign=True)
    return like


def check_installed() -> None:
    """Raise `RankfrontError` where torchao is not installed."""
    _torchao()


def dequantized(model: nn.Module, dense: nn.Module, plan: Plan) -> nn.Module:
    """Return a quantized network in floating point, so that it can be trained.

    Args:
        model: what `quantized` returned, or loaded from its file.
        dense: the dense model in plain modules (`Objective.dense`).
        plan: the network's.
    """
    plain = skeleton(dense, plan)
    state = {
        name: tensor.dequantize() if type(tensor) is not Tensor else tensor
        for name, tensor in model.state_dict().items()
    }
    plain.load_state_dict(state)
    return in_eval(plain)


def _torchao() -> tuple[ModuleType, ModuleType]:
    with registering_torchao():
        try:
            import torchao.prototype.safetensors.safetensors_support as tensors
            import torchao.quantization as quantization
        except ImportError:
            raise RankfrontError("int8 needs torchao: pip install 'rankfront[int8]'") from None
    return quantization, tensors
