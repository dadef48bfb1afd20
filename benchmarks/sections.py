"""A page's sections as they stand: what another machine measured stays until it is measured anew."""

from __future__ import annotations

import re
from pathlib import Path

HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)


def sections_of(page: Path) -> dict[str, list[str]]:
    """Return the lines of each section of a Markdown page, its heading among them, by the heading's words."""
    if not page.exists():
        return {}
    _, *parts = HEADING.split(page.read_text(encoding="utf-8"))
    return {
        title: [f"## {title}", *text.rstrip("\n").split("\n"), ""]
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }
