"""The arrows between rooms: which folder may import which, read from the code's own imports."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ROOMS = {
    # From the ground up: a room imports only what stands before it.
    "objectives": [
        "",
        "io",
        "data",
        "model",
        "model/plain",
        "calibration",
        "kinds",
        "export",
        "metrics",
        "engines",
        "deploy",
        "training",
    ],
    "search": ["storage", "space", "allocation", "samplers", "results", "report", "parallel", "study", "cli"],
}  # fmt: skip
CHECKS = {"checks", "loss_check", "dry_run", "warnings"}
ABOVE = {
    "task",
    "objective",
    "outcome",
    "statistics",
    "responses",
    "start",
    "shared",
    "identity",
    "dense",
    "passes",
    "component_slopes",
}
TOP = {"objectives": ABOVE | CHECKS}
"""Files beside the rooms that stand above them all."""


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the absolute dotted names that a file imports, and whether for type checkers alone."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])

    def visit(node: ast.AST, typing: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, typing) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*base, *filter(None, [child.module])])
                yield module, typing
            else:
                only_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                yield from visit(child, typing or only_types)

    yield from visit(ast.parse(path.read_text()), False)


def room_of(module: str, base: str) -> str | None:
    """Return the sub-folder that a dotted name lies in; None outside ``base``, empty for a file beside the rooms."""
    parts = module.split(".")
    if parts[0] != base:
        return None
    for deep in (2, 1):
        folder = "/".join(parts[1 : deep + 1])
        if folder in ROOMS[base] and (ROOT / base / folder).is_dir():
            return folder
    return ""


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("objectives", {"search", "studies", "optuna", "pandas", "plotly", "typer", "rich"}),
        ("search", {"studies"}),
    ],
)
def test_arrows_run_from_studies_to_search_to_objectives(room: str, forbidden: set[str]) -> None:
    found = {(str(f.relative_to(ROOT)), m) for f in files(room) for m, _ in imports(f) if m.split(".")[0] in forbidden}
    assert not found


@pytest.mark.parametrize("base", ROOMS)
def test_rooms_import_only_what_stands_below_them(base: str) -> None:
    order = {room: floor for floor, room in enumerate(ROOMS[base])}
    wrong: list[str] = []
    for path in files(base):
        parts = path.relative_to(ROOT / base).parts
        mine = room_of(".".join((base, *parts)), base) or ""
        if not mine and (path.stem in TOP.get(base, ()) or path.stem == "__init__"):
            continue
        for module, only_types in imports(path):
            theirs = room_of(module, base)
            if theirs is None or only_types or theirs == mine:
                continue
            if (theirs == "" and module.split(".")[-1] in TOP.get(base, ())) or order[theirs] > order[mine]:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong


@pytest.mark.parametrize("room", ["objectives", "search", "studies"])
def test_imports_inside_the_package_are_relative(room: str) -> None:
    """A bare ``import search`` would find a stranger's module once the package is installed."""
    bare = [
        f"{path.relative_to(ROOT)}: {ast.unparse(node)}"
        for path in files(room)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in BARE)
        or (isinstance(node, ast.Import) and any(alias.name.split(".")[0] in BARE for alias in node.names))
    ]
    assert not bare


BARE = {"objectives", "search", "studies", "rankfront"}


def test_every_folder_is_shipped_and_says_what_it_is_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {
        f"rankfront.{'.'.join(path.parent.relative_to(ROOT).parts)}"
        for room in ("objectives", "search", "studies")
        for path in files(room)
    }
    assert set(project["tool"]["setuptools"]["packages"]) == {"rankfront", *folders}
    for room in ("objectives", "search", "studies"):
        for folder in {path.parent for path in files(room)}:
            assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


@pytest.mark.parametrize("room", ["objectives", "search", "studies"])
def test_one_concept_a_file(room: str) -> None:
    """A file that needs more than 250 lines holds more than one thing."""
    long = {str(p.relative_to(ROOT)): n for p in files(room) if (n := len(p.read_text().splitlines())) > 250}
    assert not long
