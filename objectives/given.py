"""What the user gave for a field, checked and read: each function returns the value, or says name, rule and value."""

from __future__ import annotations

import contextlib
import inspect
import math
import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from .described import shown
from .errors import RankfrontError


def whole(name: str, value: Any, *, least: int, most: int | None = None, why: str = "") -> int:
    """Return a whole number.

    >>> whole("trials", 3, least=1)
    3
    """
    between = f"{least} or more" if most is None else f"from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise RankfrontError(f"{name} must be a whole number, {between}, but got {shown(value)}{why}")
    count = int(value)
    if count < least or (most is not None and count > most):
        raise RankfrontError(f"{name} must be {between}, but got {count}{why}")
    return count


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """Return a finite number: greater than ``above``, from ``least`` to ``most``, less than ``below``."""
    if above is not None:
        rule = "positive" if above == 0 else f"above {above:g}"
    elif math.isfinite(below):
        rule = f"at least {least:g} and below {below:g}"
    elif math.isfinite(most):
        rule = f"from {least:g} to {most:g}"
    else:
        rule = f"{least:g} or more" if math.isfinite(least) else "a number"
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise RankfrontError(f"{name} must be a number, {rule}, but got {shown(value)}")
    amount = int(value) if isinstance(value, Integral) else float(value)
    if not (least <= amount <= most and amount < below) or (above is not None and amount <= above):
        raise RankfrontError(f"{name} must be {rule}, but got {amount:g}")
    return amount


def flag(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise RankfrontError(f"{name} must be True or False, but got {shown(value)}")
    return value


def text(name: str, value: Any, rule: str = "text") -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise RankfrontError(f"{name} must be {rule}, but got {shown(value)}")
    return value


def texts(name: str, value: Any, example: str) -> tuple[str, ...]:
    """Return several texts: given as such, or as one with commas between."""
    if isinstance(value, str):
        value = value.split(",")
    with contextlib.suppress(Exception):  # whatever iterating something else may raise
        found = tuple(value)
        if all(isinstance(part, str) for part in found) and not isinstance(value, bytes):
            return tuple(part.strip() for part in found)
    raise RankfrontError(f"{name} must be texts such as {example}, but got {shown(value)}")


def folder_path(name: str, value: Any) -> Path:
    """Return a path."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise RankfrontError(f"{name} must be a path, but got {shown(value)}")
    return Path(os.fsdecode(value))


def paths(name: str, value: Any) -> tuple[Path, ...]:
    """Return several paths, or one."""
    if isinstance(value, (str, os.PathLike)):
        return (folder_path(name, value),)
    with contextlib.suppress(Exception):  # whatever iterating something else may raise
        return tuple(folder_path(name, path) for path in tuple(value))
    raise RankfrontError(f"{name} must be paths, but got {shown(value)}")


def check_function(name: str, value: Any, form: str) -> None:
    """Refuse what is given for a function and is none, or is a class where one of its objects is meant; None passes."""
    if isinstance(value, type):
        raise RankfrontError(f"{name} must be a function {form}, but got {shown(value)}: make one, {value.__name__}()")
    if value is not None and not callable(value):
        raise RankfrontError(f"{name} must be a function {form}, but got {shown(value)}")


TARGETS = {"y_true", "target", "targets", "label", "labels", "truth", "true", "y"}
OUTPUTS = {"y_pred", "y_score", "y_prob", "y_hat", "pred", "preds", "prediction", "predictions", "output", "outputs"}
"""Names of a function's first two arguments that say which is which: scikit-learn's, torch's, torchmetrics'."""


def check_order(name: str, function: Any) -> None:
    """Refuse a function whose arguments' names say that it takes targets first and outputs second."""
    try:
        given = inspect.signature(function).parameters.values()
        first, second = [p.name for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:2]
    except (TypeError, ValueError):  # no signature, or fewer arguments
        return
    if first in TARGETS and second in OUTPUTS:
        own = getattr(function, "__name__", type(function).__name__)
        raise RankfrontError(
            f"{name} is called as {name}(outputs, targets), but {shown(function)} takes ({first}, {second}): "
            f"give lambda outputs, targets: {own}(targets, outputs)"
        )
