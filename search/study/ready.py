"""The ready studies: functions that installed packages register under the entry points ``rankfront.studies``."""

from __future__ import annotations

import ast
import importlib.util
from importlib.metadata import EntryPoint, entry_points

GROUP = "rankfront.studies"


def ready_studies() -> dict[str, EntryPoint]:
    """Return the ready studies by name: ours, and those that installed packages register."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def summary(point: EntryPoint) -> str:
    """Return the first line of a study's docstring, read from its file: nothing is imported but its package.

    >>> summary(ready_studies()["digits"])
    "A small CNN on scikit-learn's 8×8 digits, trained on the spot (seconds)."
    """
    spec = importlib.util.find_spec(point.module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    with open(spec.origin, encoding="utf-8") as file:  # noqa: PTH123
        tree = ast.parse(file.read())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == point.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
