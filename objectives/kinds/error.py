"""A decomposition's relative errors as numbers that the next CPU repeats.

Eigenvalues differ in their last bits from one CPU to another, and what is left out at full rank is nothing but such
bits. So no decision may hang on them: an error is rounded to `DIGITS` significant digits, and what is below `FLOOR`
counts as `FLOOR`. Only a dense layer has an error of exactly 0, so it wins every tie of errors; two factorizations that
err equally have equal numbers, and the cheaper one wins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

FLOOR = 1e-9
"""Least relative squared error of a factorization. Float32 outputs differ by more than that from each other."""

DIGITS = 6
"""Significant digits of an error."""

DECIMALS = 12
"""Decimals of an error: an eigenvalue is not known better than that, relative to the largest."""


def rounded(error: float) -> float:
    """Return a relative squared error as it is used everywhere.

    >>> rounded(0.123456789), rounded(3e-17), rounded(0.0)
    (0.123457, 1e-09, 1e-09)
    """
    if not error > FLOOR:
        return FLOOR
    if math.isinf(error):
        return error
    return round(error, min(DECIMALS, DIGITS - 1 - math.floor(math.log10(error))))


def rounded_all(errors: Tensor | Iterable[float]) -> list[float]:
    """Return several errors ``(k,)`` as they are used everywhere."""
    return [rounded(error) for error in (errors.tolist() if isinstance(errors, Tensor) else errors)]


def rank_that_leaves(tail: Tensor, allowed: float) -> int:
    """Return the least rank at which no more than ``allowed`` is left out.

    Args:
        tail: ``(k,)``, the relative error at ranks 0, 1, …; descending.
        allowed: a relative error.
    """
    most = rounded(allowed)
    return sum(error > most for error in rounded_all(tail))
