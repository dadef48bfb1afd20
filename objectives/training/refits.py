"""How a factorized network is refitted before it is trained."""

from __future__ import annotations

from typing import Literal

from ..errors import RankfrontError

Refit = Literal["layer", "block"] | None
"""Layer by layer; then block by block as well; not at all."""


def read_refit(given: object) -> Refit:
    """Return what a task's ``refit`` means: True is ``"layer"``, False None; raises `RankfrontError` for others."""
    if given is None or given is False:
        return None
    if given is True or given == "layer":
        return "layer"
    if given == "block":
        return "block"
    raise RankfrontError(f'refit must be "layer", "block" or None (or True or False), but got {given!r:.60}')
