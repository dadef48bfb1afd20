"""Every code block in README.md and under docs/ runs.

Python is run from the top of a page to its end; a block that begins with ``# NAME.py`` is a file of the reader's. Of
commands, those on the reader's own study are run; those on a ready study, which take minutes and need data or weights,
are read and checked up to where the study would be loaded. What installs something is compared with pyproject.toml.
"""

from __future__ import annotations

import contextlib
import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from rankfront.search.cli import running
from rankfront.search.cli.main import main
from rankfront.search.study.ready import ready_studies

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\b")
EXTRA = re.compile(r"rankfront\[(\w+)\]")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, TOOL = PYPROJECT["project"], PYPROJECT["tool"]


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def commands(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words[2:] if words[:2] == ["uv", "run"] else words


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_every_block_of_a_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, Any] = {}
    for language, text in blocks(page):
        assert language in ("python", "sh", "text"), f"nobody runs a block of {language!r}"
        if language == "sh":
            for words in commands(text):
                run_command(words, monkeypatch, capsys)
        elif language == "python" and ">>> " not in text:
            if found := FILE.match(text):
                (tmp_path / found[1]).write_text(text)
            else:
                exec(compile(text, page, "exec"), names)
    if any(">>> " in text for _, text in blocks(page)):
        pytest.importorskip("transformers")
        torch.manual_seed(0)
        failed, tried = doctest.testfile(str(ROOT / page), module_relative=False)
        assert tried and not failed


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command of ours; of those that install or test, check what can be without doing it."""
    if words[0] != "rankfront":
        assert words[0] in ("pip", "uv", "pytest", "git", "cd", "python"), f"nobody runs {words}"
        assert {extra for word in words for extra in EXTRA.findall(word)} <= PROJECT["optional-dependencies"].keys()
        return
    command, study, *_ = arguments = words[1:]
    ready = Path(study).name in ready_studies()
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as stop:
        if ready and command == "run":
            patched.setattr(running, "begun", nothing_loaded)
        main(arguments)
    said = capsys.readouterr().err
    if ready and command != "run":
        assert "must hold a study.db" in said, said  # all but the study is right
    else:
        assert not stop.value.code, said


@contextlib.contextmanager
def nothing_loaded(*_: object) -> Iterator[Any]:
    raise typer.Exit(0)
    yield


def test_what_contributors_are_told_to_run_is_what_ci_runs() -> None:
    """But for the site, which a test of its own builds."""
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert {language for language, _ in blocks("CONTRIBUTING.md")} == {"sh"} and not blocks("CHANGELOG.md")
    markers = [entry.split(":")[0] for entry in TOOL["pytest"]["ini_options"]["markers"]]
    for command in (words for _, text in blocks("CONTRIBUTING.md") for words in single_commands(text)):
        if command[:3] == ["uv", "run", "pytest"] and "-m" in command:
            assert command[-1].removeprefix("not ") in markers
        elif command[:2] != ["uv", "sync"] and command[2] != "mkdocs":
            assert shlex.join(command) in ci, command


def single_commands(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        for part in line.split("#")[0].split(" && "):
            yield shlex.split(part)


def test_pages_link_to_what_is_there() -> None:
    wrong = []
    for page in (*PAGES, "CHANGELOG.md", "CONTRIBUTING.md"):
        text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target and not ((ROOT / page).parent / target).exists():
                wrong.append(f"{page} → {target}")
    assert not wrong


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="uv sync installs mkdocs-material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    api = (tmp_path / "site" / "api" / "index.html").read_text()
    assert "{options}" not in api and "upper bounds: params=5%" in api  # what `help(rankfront.run)` says


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
