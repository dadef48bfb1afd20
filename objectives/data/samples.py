"""The samples of a structure: how many there are, some of them, several structures put together.

A tensor holds its samples along ``dim`` (0, or 1 for sequence-first models) where it is as long there as there are
samples; else along the first dimension that is. A tensor without such a dimension belongs to all samples and is never
cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from ..described import a_type
from ..errors import RankfrontError
from .containers import parts_of, rebuilt

Part = slice | Tensor
"""Which samples: a slice, or their positions ``(k,)``."""


def count(item: Any, dim: int = 0) -> int | None:
    """Return the number of samples in a structure, or None where nothing in it tells.

    That is the length of its first tensor, or of a list where there is no tensor outside of lists.
    """
    if isinstance(item, PackedSequence):
        return int(item.batch_sizes[0])
    if isinstance(item, Tensor | np.ndarray):
        return item.shape[dim if dim < item.ndim else 0] if item.ndim else None
    if isinstance(item, list):
        return len(item)
    parts = parts_of(item)
    if parts is None:
        return _of_object(item)
    values = sorted(parts.values(), key=lambda part: isinstance(part, list))  # stable: lists come last
    found = next((n for part in values if (n := count(part, dim)) is not None), None)
    return len(item) if found is None and item and _tells_none(item) else found


def length(item: Any, dim: int = 0) -> int:
    """Return the number of samples in a structure.

    Raises:
        RankfrontError: nothing in it tells.
    """
    found = count(item, dim)
    if found is None:
        raise RankfrontError(
            f"a batch must hold a tensor or a list that tells its number of samples, but {told(item)} holds none"
        )
    return found


def axis_of(tensor: Tensor | np.ndarray[Any, Any], samples: int, dim: int = 0) -> int | None:
    """Return along which dimension a tensor holds so many samples; None where it belongs to all of them."""
    return _shared_axis([tensor], [samples], dim)


def can_cut(item: Any, samples: int, dim: int = 0) -> tuple[bool, str]:
    """Return ``(True, "")`` where every part of a structure can be cut into samples, else False and what cannot."""
    parts = parts_of(item)
    if parts is not None and not (isinstance(item, list) and len(item) == samples):
        return next((found for part in parts.values() if not (found := can_cut(part, samples, dim))[0]), (True, ""))
    opaque = callable(getattr(item, "to", None)) and not isinstance(item, Tensor | PackedSequence)
    if opaque and not (hasattr(item, "__getitem__") and _of_object(item) == samples):
        return False, f"{a_type(item)} cannot be cut into samples"
    return True, ""


def cut(item: Any, part: Part, dim: int = 0, samples: int | None = None) -> Any:
    """Return some of the samples of a structure; ``samples`` says how many it holds, where it does not tell itself."""
    n = length(item, dim) if samples is None else samples
    if isinstance(item, Tensor | np.ndarray):
        axis = axis_of(item, n, dim)
        chosen = part.to(item.device) if isinstance(part, Tensor) and isinstance(item, Tensor) else part
        return item if axis is None else item[(slice(None),) * axis + (chosen,)]
    if isinstance(item, PackedSequence):
        return pack_sequence(_picked(unpack_sequence(item), part), enforce_sorted=False)
    parts = parts_of(item)
    if parts is None:
        return item[part] if can_cut(item, n, dim)[0] and _of_object(item) == n else item
    if isinstance(item, list) and len(item) == n:
        return rebuilt(item, _picked(item, part))
    if _tells_none(item) and len(item) == n:
        return tuple(_picked(item, part))
    return rebuilt(item, [cut(value, part, dim, n) for value in parts.values()])


def join(parts: Sequence[Any], dim: int = 0, samples: Sequence[int] | None = None) -> Any:
    """Put structures of the same form together: tensors along the dimension of their samples, lists end to end.

    NumPy arrays are put together as tensors are, and stay arrays. What is neither, nor a container, stays one thing
    where it is the same in every part; else it becomes a list, of numbers a tensor.

    Args:
        parts: the structures; tensors without dimensions are stacked, one a part.
        dim: along which dimension tensors hold their samples.
        samples: how many each part holds, where that is known: then a tensor without samples, such as a mask for all of
            them, must be the same in every part, and stays as it is. Without it numbers are stacked, too.

    Raises:
        RankfrontError: they are of different forms, or of sizes that do not fit.
    """
    first = parts[0]
    if isinstance(first, Tensor | np.ndarray):
        return _joined_tensors(parts, dim, samples)
    if isinstance(first, PackedSequence):
        return pack_sequence([one for part in parts for one in unpack_sequence(part)], enforce_sorted=False)
    if (isinstance(first, list) or _tells_none(first)) and _by_sample(parts, dim, samples):
        return rebuilt(first, [one for part in parts for one in part])
    columns = [parts_of(part) for part in parts]
    if columns[0] is None:
        return _joined_leaves(parts, stacked=samples is None)
    if any(other is None or other.keys() != columns[0].keys() for other in columns):
        raise _different(parts)
    keys = columns[0].keys()
    return rebuilt(first, [join([other[key] for other in columns if other is not None], dim, samples) for key in keys])


def told(item: Any) -> str:
    """Return what an item is, in a few words for an error."""
    if isinstance(item, Tensor | np.ndarray):
        return f"a {'tensor' if isinstance(item, Tensor) else 'NumPy array'} {tuple(item.shape)}"
    if isinstance(item, Mapping):
        return f"{a_type(item)} of {', '.join(map(str, item)) or 'nothing'}"
    if isinstance(item, tuple | list) and not isinstance(item, PackedSequence):
        return f"{a_type(item)} of {len(item)}"
    return a_type(item)


def _joined_tensors(parts: Sequence[Any], dim: int, samples: Sequence[int] | None) -> Any:
    first = parts[0]
    kind = Tensor if isinstance(first, Tensor) else np.ndarray
    if any(not isinstance(part, kind) or part.ndim != first.ndim for part in parts):
        raise _different(parts)
    stack, concatenate = (torch.stack, torch.cat) if isinstance(first, Tensor) else (np.stack, np.concatenate)
    if first.ndim == 0:
        return stack(list(parts))
    axis = (dim if dim < first.ndim else 0) if samples is None else _shared_axis(parts, samples, dim)
    if axis is None and all(part.shape == first.shape and bool((part == first).all()) for part in parts):
        return first
    shapes = {(*part.shape[:axis], *part.shape[axis + 1 :]) if axis is not None else part.shape for part in parts}
    if len(shapes) > 1 or axis is None:
        sizes = sorted({tuple(part.shape) for part in parts})
        raise RankfrontError(f"batches of different sizes cannot be put together: {sizes[0]} and {sizes[-1]}")
    return concatenate(list(parts), axis)


def _shared_axis(parts: Sequence[Tensor | np.ndarray[Any, Any]], samples: Sequence[int], dim: int) -> int | None:
    """Return the dimension along which all these tensors hold their samples; None where there is none."""
    ndim = parts[0].ndim
    for axis in dict.fromkeys((dim, 0, *((1,) if ndim > 2 else ()))):  # (layers, N, H): states of an RNN
        if axis < ndim and all(part.shape[axis] == n for part, n in zip(parts, samples, strict=True)):
            return axis
    return None


def _joined_leaves(parts: Sequence[Any], stacked: bool) -> Any:
    """Put together what is neither tensor nor container: equal things stay one; numbers are stacked where asked for."""
    first = parts[0]
    numbers = all(isinstance(part, bool | int | float | np.number | np.bool_) for part in parts)
    same = all(_is_equal(part, first) for part in parts)
    if numbers and (stacked or not same):
        return torch.tensor(parts)
    if callable(getattr(first, "to", None)):
        raise RankfrontError(f"batches that hold {told(first)} cannot be put together")
    if any(isinstance(part, Tensor | np.ndarray) or parts_of(part) is not None for part in parts):
        raise _different(parts)
    return first if same else list(parts)


def _different(parts: Sequence[Any]) -> RankfrontError:
    forms = ", ".join(dict.fromkeys(map(told, parts)))
    return RankfrontError(f"batches of different forms cannot be put together: {forms:.200}")


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except Exception:  # whatever a stranger's == returns or raises
        return False


def _tells_none(item: Any) -> bool:
    """Return whether an item is a tuple of texts, numbers, Nones: one a sample, as no part has samples of its own."""
    return type(item) is tuple and all(count(value) is None for value in item)


def _by_sample(parts: Sequence[Sequence[Any]], dim: int, samples: Sequence[int] | None) -> bool:
    """Return whether lists hold one item a sample, rather than columns."""
    if samples is not None:
        return [len(part) for part in parts] == list(samples)
    first = parts[0]
    if any(len(part) != len(first) for part in parts) or not all(isinstance(one, Tensor) for one in first):
        return True
    return len({count(one, dim) for one in first}) != 1


def _of_object(item: Any) -> int | None:
    """Return the number of samples that an object of another library tells: of a graph batch, its graphs."""
    for name in ("num_graphs", "batch_size"):
        if isinstance(found := getattr(item, name, None), int):
            return found
    sized = hasattr(type(item), "__len__") and hasattr(type(item), "__getitem__") and not isinstance(item, str | bytes)
    return len(item) if sized else None


def _picked(items: Sequence[Any], part: Part) -> list[Any]:
    return list(items[part]) if isinstance(part, slice) else [items[int(i)] for i in part]
