"""Which models are taken: those of plain tensors and Python code. Others are refused before anything is done."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..errors import RankfrontError

BEFORE = "give the model as it was before that"


def check_accepted(model: nn.Module) -> None:
    """Raise `RankfrontError` where a model is compiled, sharded, quantized or not initialised; one sentence, by name.

    A part that is none of the model's Linears and convolutions may be scripted.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise RankfrontError(
            "the model must be a Python module, but is a torch.jit.ScriptModule, whose layers cannot be replaced: "
            "give the module that was scripted or traced"
        )
    if {"train", "eval"} & vars(model).keys():
        raise RankfrontError(
            "the model must be one that can be trained, but torch.export made it, or its train or eval is replaced: "
            "give the module that was exported"
        )
    for path, module in model.named_modules():
        where = f"{type(module).__name__} {path}".rstrip()
        if type(module).__name__.startswith("FullyShardedDataParallel"):
            raise RankfrontError(f"weights must be whole, but {where} shards them: {BEFORE}")
        if type(module).__module__.startswith(("torch.ao.nn.quantized", "torch.nn.quantized")):
            raise RankfrontError(f"weights must be floating-point numbers, but {where} is quantized: {BEFORE}")
        for name, tensor in _own_tensors(module):
            if reason := _reason(tensor):
                raise RankfrontError(f"tensors of the model must be plain ones, but {name!r} of {where} {reason}")


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is not None:
            yield name, tensor


def _reason(tensor: Tensor) -> str:
    """Return what is special about a tensor, and what to do; empty where nothing is."""
    if nn.parameter.is_lazy(tensor):
        return "is not initialised: call the model on a batch once before"
    kind = type(tensor.detach()).__name__
    if kind == "DTensor":
        return f"is distributed over processes: {BEFORE}"
    if tensor.is_quantized or kind not in ("Tensor", "Parameter", "Buffer"):
        return f"is a {kind} (quantized?): {BEFORE}"
    if tensor.layout != torch.strided:
        return f"is {tensor.layout}: make it dense with to_dense()"
    if tensor.is_meta:
        return "is on the meta device, without values: load the weights before"
    return ""
