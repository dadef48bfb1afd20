"""Which parameters a model multiplies its data by, found by watching torch's functions while the model runs.

A module's type does not tell: torchvision's Swin calls ``F.linear(x, self.qkv.weight)``, an LSTM hands a list of
weights to one function, and Mixtral's experts lie in one parameter that is indexed. So the functions themselves are
watched (`torch.overrides.TorchFunctionMode`). A parameter is recognised by its storage, so slices, transposes, views
and chunks count; what is computed of parameters alone (a cast, a standardized or indexed copy) counts as they do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.overrides import TorchFunctionMode

MULTIPLYING = re.compile(
    r"(bi)?linear | (__r?)?matmul(__)? | b?mm | mv | add(b?mm|mv)_? | baddbmm | einsum | tensordot"
    r" | multi_dot | chain_matmul"
    r" | conv(_transpose)?[123]d | conv_tbc | (lstm|gru|rnn_tanh|rnn_relu)(_cell)? | multi_head_attention_forward"
    r" | _native_multi_head_attention | _transformer_encoder_layer_fwd | _?(scaled_)?(grouped_)?mm"
    r" | grouped_mm_fallback",
    re.VERBOSE,
)
"""Names of torch's functions that contract two tensors."""

LOOKUPS = frozenset(("embedding", "embedding_bag"))
"""Names of functions whose result, rows of a table, is data."""

NOT_FIRST = re.compile(r"linear | conv.* | multi_head_attention_forward | add(b?mm|mv)_? | baddbmm", re.VERBOSE)
"""Functions whose first operand is data, whatever it was computed of (learned queries), or is added."""


class Use(NamedTuple):
    """One multiplication by (a part of) a parameter."""

    function: str
    """The torch function's name."""
    shape: tuple[int, ...]
    """Shape of the operand: of a slice or a view that of the slice or view."""
    own: bool = False
    """Whether it was in the forward of a watched module, such as a Linear's own."""


@final
class Multiplications(TorchFunctionMode):
    """Notes, while it is entered, which of the parameters given are multiplied, and by what.

    Args:
        parameters: by any name; one that is known by several names is noted under the first.
        inside: holds something as long as a watched module runs.
    """

    def __init__(self, parameters: Iterable[tuple[str, Tensor]], inside: Sized = ()) -> None:
        super().__init__()
        self.inside = inside
        self.uses: dict[str, list[Use]] = {}
        """Name of a parameter → its multiplications, in order."""
        self._spans: dict[int, list[tuple[int, int, str]]] = {}
        self._derived: dict[int, tuple[Tensor, frozenset[str]]] = {}
        for name, parameter in parameters:
            storage = storage_of(parameter)
            if storage is not None:
                start = int(parameter.storage_offset())
                spans = self._spans.setdefault(storage, [])
                if all(start != other for other, _, _ in spans):
                    spans.append((start, start + parameter.numel(), name))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note what ``func`` multiplies, and run it."""
        keywords = kwargs or {}
        name = getattr(func, "__name__", "")
        if MULTIPLYING.fullmatch(name):
            operands = list(tensors_in([*args, *keywords.values()]))
            for operand in operands[1:] if NOT_FIRST.fullmatch(name) and args else operands:
                for parameter in self._of(operand):
                    self.uses.setdefault(parameter, []).append(Use(name, tuple(operand.shape), len(self.inside) > 0))
            return func(*args, **keywords)
        result = func(*args, **keywords)
        if name not in LOOKUPS and name not in ("__get__", "__set__"):
            self._derive(list(tensors_in([*args, *keywords.values()])), result)
        return result

    def _derive(self, operands: list[Tensor], result: Any) -> None:
        """Remember that a result was computed of parameters alone."""
        numbers = [t for t in operands if t.is_floating_point()]
        indices = len(numbers) < len(operands)
        sources = [self._of(t) for t in numbers]
        if not numbers or not all(sources) or (indices and max(t.ndim for t in numbers) < 3):
            return  # rows picked from a matrix are a table's: data
        for tensor in tensors_in([result]):
            storage = storage_of(tensor)
            if tensor.is_floating_point() and storage is not None and not self._of(tensor):
                # The tensor is kept, so that no other takes its storage's address.
                self._derived[storage] = tensor, frozenset().union(*sources)

    def _of(self, tensor: Tensor) -> frozenset[str]:
        """Return the parameters that a tensor is a view of, or computed of."""
        storage = storage_of(tensor)
        if storage is None:
            return frozenset()
        at = tensor.storage_offset()
        inside = frozenset(name for start, end, name in self._spans.get(storage, ()) if start <= at < end)
        return inside or self._derived.get(storage, (None, frozenset[str]()))[1]


def storage_of(tensor: Tensor) -> int | None:
    """Return where the numbers of a tensor, or of what it is a view of, are; None of one that has no place of its own.

    Such as one without numbers, or one that ``torch.func.vmap`` or ``grad`` wraps.
    """
    if not tensor.numel() or tensor.device.type == "meta" or tensor.layout != torch.strided:
        return None
    if is_functorch_wrapped_tensor(tensor):
        return None
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage().data_ptr()


def tensors_in(items: Any) -> Iterator[Tensor]:
    """Yield the tensors among a function's arguments, those in lists and tuples, too."""
    for item in items:
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, (list, tuple)):
            yield from tensors_in(item)


def matrices_of(shape: tuple[int, ...], operand: tuple[int, ...], function: str) -> tuple[int, int]:
    """Return how a parameter is a stack of matrices: how many dimensions make the rows, and how many the columns.

    The dimensions before these make the stack.

    Args:
        shape: the parameter's.
        operand: the shape of what was multiplied, the parameter or a view of it.
        function: that multiplied it.

    >>> matrices_of((8, 3, 5, 5), (8, 3, 5, 5), "conv2d"), matrices_of((4, 16, 8), (16, 8), "linear")
    ((1, 3), (1, 1))
    >>> matrices_of((8, 3, 5, 5), (8, 75), "linear")
    (1, 3)
    """
    if function.startswith("conv") and len(operand) == len(shape):
        return 1, len(shape) - 1
    rows, columns = operand[-2:] if len(operand) > 1 else (0, 0)
    for count in range(1, len(shape)):
        if math.prod(shape[-count:]) == columns and math.prod(shape[:-count]) == rows:
            return len(shape) - count, count
    return 1, 1


def owner_of(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the module that holds a parameter, and the parameter's own name there."""
    path, _, own = name.rpartition(".")
    return model.get_submodule(path), own
