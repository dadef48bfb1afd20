"""Take a network out of what is put around it to run it: `DataParallel`, ``torch.compile``, averaged weights.

Its names, and so its files, are then those of the user's own class.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from ..errors import RankfrontError
from .copying import copied
from .replace import has_hooks

WRAPPERS: dict[type[nn.Module], str] = {
    DataParallel: "module",
    DistributedDataParallel: "module",
    AveragedModel: "module",
}
"""Modules that compute what the one inside computes, and the name of that; what ``torch.compile`` makes is one, too."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the user's network: itself, without wrappers around it; a copy, where there are wrappers inside it.

    Raises:
        RankfrontError: hooks of the user hang on a wrapper.
    """
    model = _inside(model, "the model")
    paths = {path: module for path, module in model.named_modules() if _name_inside(module)}
    outer = {path: module for path, module in paths.items() if not any(_is_under(path, other) for other in paths)}
    if not outer:
        return model
    memo: dict[int, Any] = {}
    for path, module in outer.items():
        memo[id(module)] = copied(_inside(module, path), memo)
    return unwrapped(copied(model, memo))


def _inside(module: nn.Module, what: str) -> nn.Module:
    while name := _name_inside(module):
        if has_hooks(module):
            raise RankfrontError(
                f"hooks must hang on the module inside a {type(module).__name__}, but {what} has some on the outside: "
                "register them inside, or give the module inside"
            )
        module = module.get_submodule(name)
    return module


def _name_inside(module: nn.Module) -> str | None:
    """Return the name of the module inside a wrapper; None for what is none."""
    compiler = sys.modules.get("torch._dynamo.eval_frame")  # takes seconds to import; who compiled a model has it
    if compiler is not None and type(module) is compiler.OptimizedModule:
        return "_orig_mod"
    return WRAPPERS.get(type(module))


def _is_under(path: str, other: str) -> bool:
    return path.startswith(f"{other}.")
