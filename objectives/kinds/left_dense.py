"""What of a network stays dense, summed up: every parameter that no factorization takes, by type and reason.

It is read of a stored study, too, so nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LISTED = 8
"""Groups that a sentence lists; the others are summed up in it."""


@dataclass(frozen=True)
class Group:
    """Parameters that stay dense for one reason, of modules of one type."""

    what: str
    """What they are: a type of module, or the usual word for it."""
    reason: str
    modules: int
    params: int
    example: str
    """Name of one of the modules, of the largest."""


@dataclass(frozen=True)
class LeftDense:
    """All parameters of a network that stay dense."""

    total: int
    """Number of parameters of the network."""
    groups: tuple[Group, ...]
    """The largest first."""

    @property
    def params(self) -> int:
        """Number of parameters that stay dense."""
        return sum(group.params for group in self.groups)

    def lines(self) -> list[str]:
        """Return a heading, and a line for every group."""
        if not self.groups:
            return ["left dense: nothing"]
        return [
            f"left dense: {self._share(self.params)} of the parameters",
            *(f"  {self._told(group)}" for group in self.groups),
        ]

    def __str__(self) -> str:
        if not self.groups:
            return "left dense: nothing"
        listed = [self._told(group) for group in self.groups[:LISTED]]
        if rest := self.groups[LISTED:]:
            listed.append(f"{sum(g.modules for g in rest)} others, {self._share(sum(g.params for g in rest))}")
        return f"left dense: {self._share(self.params)} of the parameters: {'; '.join(listed)}"

    def plain(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        return {"total": self.total, "groups": [vars(group) for group in self.groups]}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> LeftDense:
        """Read what `plain` returned."""
        return cls(int(data["total"]), tuple(Group(**group) for group in data["groups"]))

    def _told(self, group: Group) -> str:
        plural = "s" if group.modules > 1 and group.what[:1].islower() else ""
        named = (group.example or "the model itself") + (", …" if group.modules > 1 else "")
        return f"{group.modules} {group.what}{plural}, {self._share(group.params)} ({named}: {group.reason})"

    def _share(self, params: int) -> str:
        percent = 100 * params / max(1, self.total)
        if percent < 1:
            return f"{percent:.2g} %"
        return f"{percent:.{1 if percent < 10 or 99 <= percent < 100 else 0}f} %"
