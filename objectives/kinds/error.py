"""Round errors so that all CPUs agree.

Eigenvalues differ between CPUs in their last bits, and at full rank an error consists of such bits only. So every
error is rounded to `DIGITS` significant digits, and an error below `FLOOR` becomes `FLOOR`. Only a dense layer has an
error of exactly 0. Two factorizations of the same error have equal numbers, and the cheaper one is preferred.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

FLOOR = 1e-9
"""Least relative squared error of a factorization; the rounding errors of float32 outputs are larger."""

DIGITS = 6
"""Significant digits of an error."""

DECIMALS = 12
"""Decimals of an error: the precision of an eigenvalue, relative to the largest one."""


def rounded(error: float) -> float:
    """Return a relative squared error, rounded.

    >>> rounded(0.123456789), rounded(3e-17), rounded(0.0)
    (0.123457, 1e-09, 1e-09)
    """
    if not error > FLOOR:
        return FLOOR
    if math.isinf(error):
        return error
    return round(error, min(DECIMALS, DIGITS - 1 - math.floor(math.log10(error))))


def rounded_all(errors: Tensor | Iterable[float]) -> list[float]:
    """Return several errors ``(k,)``, rounded."""
    return [rounded(error) for error in (errors.tolist() if isinstance(errors, Tensor) else errors)]


def rank_that_leaves(tail: Tensor, allowed: float) -> int:
    """Return the least rank whose error is at most ``allowed``.

    Args:
        tail: ``(k,)``, the relative error at ranks 0, 1, …; descending.
        allowed: a relative error.
    """
    most = rounded(allowed)
    return sum(error > most for error in rounded_all(tail))
