"""What to give in place of data that is not taken."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..described import shown
from ..errors import RankfrontError

TAKEN = "data must be a pair of tensors (inputs, targets), a Dataset, a DataLoader or a loop over batches"


def refused(data: Any) -> RankfrontError:
    """Return the error for data of a form that is not taken: what it is, and what to give."""
    return RankfrontError(f"{TAKEN}, but got {shown(data)}{_hint(data)}")


def check_form(data: Any) -> None:
    """Raise `RankfrontError` for what has a length and items, or can be looped over, and yet is no data."""
    if isinstance(data, type | nn.Module) or _is_path(data) or _is_frame(data):
        raise refused(data)


def _hint(data: Any) -> str:
    if data is None:
        return ": give the samples"
    if isinstance(data, type):
        return f": make one, {data.__name__}(…)"
    if _is_path(data):
        return ": a path is not read; load the data from it first"
    if _is_frame(data):
        return ": torch.as_tensor(frame[columns].to_numpy()) makes tensors of its columns"
    return ": call it, and give what it returns" if callable(data) and not isinstance(data, nn.Module) else ""


def _is_path(data: Any) -> bool:
    return isinstance(data, str | bytes) or hasattr(data, "__fspath__")


def _is_frame(data: Any) -> bool:
    return type(data).__module__.partition(".")[0] in ("pandas", "polars", "pyarrow")
