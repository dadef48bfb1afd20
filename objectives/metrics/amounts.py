"""Amounts in words, and the units they may be given in."""

from __future__ import annotations

import math

SI = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
BYTE_UNITS = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2.0**10, "MIB": 2.0**20, "GIB": 2.0**30}


def shown(amount: float, unit: str = "") -> str:
    """Return an amount in three digits with a decimal prefix; a dash where there is none (NaN).

    >>> shown(5_010_000), shown(20_000_000, "B"), shown(999_582), shown(math.nan)
    ('5.01 M', '20 MB', '1 M', '–')
    """
    if math.isnan(amount):
        return "–"
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(amount) >= 0.9995 * factor:  # 999,582 is 1 M, not 1e+03 k
            return f"{amount / factor:.3g} {prefix}{unit}"
    return f"{amount:.0f} {unit}".strip()


def share_shown(amount: float, whole: float) -> str:
    """Return what share of the whole an amount is; a dash where either is not known.

    >>> share_shown(49.2, 1000)
    '4.92 %'
    """
    share = 100 * amount / whole if whole else math.nan
    return "–" if math.isnan(share) else f"{share:.3g} %"
