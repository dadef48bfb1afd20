"""The kinds of factorization on offer: a new one is a new file and one line here."""

from __future__ import annotations

from . import svd
from .errors import RankfrontError
from .kind import Kind

KINDS: dict[str, Kind] = {kind.name: kind for kind in (svd.KIND,)}


def kind_named(name: str) -> Kind:
    """Return the kind of that name; raises `RankfrontError` for an unknown one."""
    if name not in KINDS:
        raise RankfrontError(f"kind must be one of dense, {', '.join(KINDS)}, but got {name!r}")
    return KINDS[name]
