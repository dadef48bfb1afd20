"""The kinds of factorization on offer: a new one is a new file and one line here."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import RankfrontError
from . import spatial, spatial_identity, svd, svd_identity, tt, tucker2
from .kind import Kind

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (svd.KIND, svd_identity.KIND, spatial.KIND, spatial_identity.KIND, tucker2.KIND, tt.KIND)
}


def kind_named(name: str) -> Kind:
    """Return the kind of that name; raises `RankfrontError` for an unknown one."""
    if name not in KINDS:
        raise RankfrontError(f"kind must be one of dense, {', '.join(KINDS)}, but got {name!r:.60}")
    return KINDS[name]


def kinds_named(names: Iterable[str]) -> tuple[Kind, ...]:
    """Return several kinds, in the order of `KINDS`; raises `RankfrontError` for an unknown one, or none."""
    wanted = set(names)
    if not wanted or not wanted <= KINDS.keys():
        got = repr(min(wanted - KINDS.keys()))[:60] if wanted else "none"
        raise RankfrontError(f"kinds must be some of {', '.join(KINDS)}, but got {got}")
    return tuple(kind for kind in KINDS.values() if kind.name in wanted)
