"""The registry of kinds of factorization. A new kind is a new file with a ``KIND`` in it, and one line here.

A kind's file is imported when the kind is first used, so the names can be read without importing torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..described import did_you_mean
from ..errors import RankfrontError
from ..registry import Registry

if TYPE_CHECKING:
    from .kind import Kind

MODULES = {
    "svd": "svd",
    "svd-identity": "svd_identity",
    "spatial": "spatial",
    "spatial-identity": "spatial_identity",
    "tucker2": "tucker2",
    "tt": "tt",
    "stored": "stored",
}
"""Names of kinds, in the order in which ties between them are broken, and the files that hold them."""


KINDS: Registry[Kind] = Registry(__package__, MODULES, "KIND")


def kind_named(name: str) -> Kind:
    """Return the kind of that name; raises `RankfrontError` for an unknown one."""
    if name not in KINDS:
        meant = did_you_mean(name, KINDS)
        raise RankfrontError(f"kind must be one of dense, {', '.join(KINDS)}, but got {name!r:.60}{meant}")
    return KINDS[name]


def kinds_named(names: Iterable[str]) -> tuple[Kind, ...]:
    """Return several kinds, in the order of `KINDS`; raises `RankfrontError` for an unknown one, or none."""
    wanted = set(names)
    if not wanted or not wanted <= MODULES.keys():
        unknown = min(wanted - MODULES.keys(), default="")
        got = f"{unknown!r:.60}{did_you_mean(unknown, KINDS)}" if wanted else "none"
        raise RankfrontError(f"kinds must be some of {', '.join(KINDS)}, but got {got}")
    return tuple(kind for name, kind in KINDS.items() if name in wanted)
