"""The ready studies: functions that installed packages register under the entry points ``rankfront.studies``."""

from __future__ import annotations

import ast
import importlib.util
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

GROUP = "rankfront.studies"


def ready_studies() -> dict[str, EntryPoint]:
    """Return the ready studies by name: ours, and those that installed packages register."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def summary(point: EntryPoint) -> str:
    """Return the first line of a study's docstring, read from its file: nothing is imported but its package.

    >>> summary(ready_studies()["digits"])
    "A small CNN on scikit-learn's 8×8 digits, trained on the spot (seconds)."
    """
    function = defined(content_of(point), point.attr)
    return ((function and ast.get_docstring(function)) or "").partition("\n")[0]


def content_of(point: EntryPoint) -> bytes:
    """Return the text of a study's file; nothing is imported but its package."""
    spec = importlib.util.find_spec(point.module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return b""
    return Path(spec.origin).read_bytes()


def defined(content: bytes, name: str) -> ast.FunctionDef | None:
    """Return the function of that name as a file's text defines it; None where that is not plain to see."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return None
    nodes = list(ast.walk(tree))
    if any(isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store) for node in nodes):
        return None
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return functions[0] if len(functions) == 1 and not functions[0].decorator_list else None
