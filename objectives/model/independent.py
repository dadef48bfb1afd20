"""Whether copies of a network, and its passes, are independent of one another.

``copy.deepcopy`` copies no function. A hook or a lambda that takes a module from a variable outside of it (its closure,
a global name) and a weak reference go on using the original, however the copy is factorized, trained and loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..boundary import sentence
from ..data.randomness import fixed_seed
from ..data.structure import Inputs, apply, place, tensors_of
from ..described import described
from ..errors import RankfrontError
from .copying import copied
from .mode import in_eval
from .multiplications import storage_of, tensors_in
from .same import same
from .stand_in import HARMLESS


@torch.no_grad()
def check_independent(model: nn.Module, example: Inputs) -> None:
    """Raise `RankfrontError` where a copy of a model computes with the original, or a pass leaves something behind.

    A pass may neither change its inputs nor make parameters.

    Args:
        model: the user's; it stays as it is.
        example: inputs of one sample. What is wrong with them is not said here.
    """
    copy, example = in_eval(copied(model)), _there(model, example)
    own = [*copy.parameters(), *copy.buffers()]
    given = [t for t in tensors_of(example) if t.layout == torch.strided and not t.is_nested]
    kept = [tensor.clone() for tensor in given]
    with Foreign(own, model.named_parameters()) as foreign, fixed_seed(0), contextlib.suppress(Exception):
        apply(copy, example)
    changed = next((t for t, was in zip(given, kept, strict=True) if not same([was], [t], 0.0)), None)
    if changed is not None:
        for tensor, was in zip(given, kept, strict=True):
            tensor.copy_(was)
        raise RankfrontError(
            f"the model must leave its inputs as they are, but its forward changes {described(changed)} in place: "
            "let it compute a new tensor (x = x + 1 in place of x += 1), or begin with x = x.clone()"
        )
    if foreign.name is not None:
        raise RankfrontError(
            f"a copy of the model must compute with its own parameters, but computes with {foreign.name!r} of the "
            "original: a function, a hook or a weak reference takes a module from outside; "
            "let it take modules from `self`, or from the module that a hook is given"
        )
    known = {name for name, _ in model.named_parameters()}
    for name, _ in copy.named_parameters():
        if name not in known:
            raise RankfrontError(
                f"the model must have all its parameters before it runs, but its forward makes {name!r}: "
                "call the model on a batch once before, or make it in __init__"
            )


@torch.no_grad()
def check_passes(model: nn.Module, samples: Iterable[Inputs]) -> None:
    """Raise `RankfrontError` where a model accepts inputs by themselves, but not after others.

    Args:
        model: the user's; it stays as it is.
        samples: inputs, in the order in which they are passed.
    """
    kept = in_eval(copied(model))
    for inputs in (_there(model, sample) for sample in samples):
        try:
            apply(kept, inputs)
        except Exception as error:
            try:
                apply(in_eval(copied(model)), inputs)
            except Exception:  # whatever came before
                return
            raise RankfrontError(
                "the model must not need what an earlier pass left in it (a hidden state, a cache), but accepts "
                f"{described(inputs)} only as its first inputs: {sentence(error)}; let forward begin anew"
            ) from error


def _there(model: nn.Module, inputs: Inputs) -> Inputs:
    """Return inputs where the model is."""
    return place(inputs, next((parameter.device for parameter in model.parameters()), "cpu"))


@final
class Foreign(TorchFunctionMode):
    """Finds, while it is entered, computations with parameters that are not a network's own.

    Args:
        own: the network's parameters and buffers.
        others: the tensors of another network, by name.
    """

    def __init__(self, own: Iterable[Tensor], others: Iterable[tuple[str, Tensor]] = ()) -> None:
        super().__init__()
        self.name: str | None = None
        """The first of the others that was computed with."""
        self.unregistered: Tensor | None = None
        """The first trained parameter that was computed with and is in neither network."""
        self._own = {storage_of(tensor) for tensor in own}
        self._others = {storage_of(tensor): name for name, tensor in others}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note whose tensors ``func`` takes, and run it."""
        if getattr(func, "__name__", "") not in HARMLESS:
            for tensor in tensors_in((*args, *(kwargs or {}).values())):
                storage = storage_of(tensor)
                if storage in self._own or storage is None:
                    continue
                self.name = self.name or self._others.get(storage)
                stray = type(tensor) is nn.Parameter and tensor.requires_grad and storage not in self._others
                if stray and self.unregistered is None:
                    self.unregistered = tensor
        return func(*args, **(kwargs or {}))
