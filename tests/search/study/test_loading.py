"""Which file a study's model and data are loaded from, and that no other is run."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankfront import RankfrontError, Task
from rankfront.search.cli.main import main
from rankfront.search.storage.source import SOURCE, Source
from rankfront.search.study.study_file import importable, load_task
from tests.conftest import go

MINE = """
import sys
sys.path.insert(0, {root!r})
from rankfront import FineTune, Task
from tests.conftest import blobs, trained_perceptron

def study():
    return Task(trained_perceptron(), blobs(200, 1), blobs(100, 2), name="mine", calibration=100,
                finetune=FineTune(epochs=0))
"""
EVIL = "from pathlib import Path\nPath({mark!r}).touch()\n" + MINE

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command; returns its exit code and what it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out + captured.err

    return call


ROOT = str(Path(__file__).resolve().parents[3])


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Path:
    """A user's file, run once: the study is in ``out``."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(MINE.format(root=ROOT))
    options = ["--out", "out", "--trials", "2", "--sampler", "knapsack", "--device", "cpu"]
    assert cli("run", "mine.py", *options)[0] == 0
    return path


AGAIN = [["verify", "out", "--device", "cpu"], ["finish", "out", "--epochs", "1", "--device", "cpu"]]


@pytest.mark.parametrize("command", AGAIN)
def test_a_file_that_is_the_same_is_run_again(mine: Path, cli: Cli, command: list[str]) -> None:
    assert cli(*command)[0] == 0


@pytest.mark.parametrize("command", AGAIN)
def test_a_file_that_has_changed_is_run_only_where_it_is_named(mine: Path, cli: Cli, command: list[str]) -> None:
    mark = mine.parent / "mark"
    mine.write_text(EVIL.format(root=ROOT, mark=str(mark)))
    code, said = cli(*command)
    assert code == 2 and "has changed since: --study FILE says which file to take" in said
    assert not mark.exists()
    assert cli(*command, "--study", "mine.py")[0] == 0
    assert mark.exists()


def test_run_names_the_file_and_keeps_what_is_in_it(mine: Path, cli: Cli) -> None:
    mine.write_text(MINE.format(root=ROOT) + "\n# another remark\n")
    assert cli("verify", "out")[0] == 2
    assert cli("run", "mine.py", "--out", "out", "--device", "cpu")[0] == 0
    assert cli("verify", "out", "--device", "cpu")[0] == 0


def test_a_file_that_was_renamed(mine: Path, cli: Cli) -> None:
    mine.rename(mine.parent / "yours.py")
    code, said = cli("verify", "out")
    assert code == 2 and "mine.py must be the one that was run, but it is not there: --study FILE" in said
    assert cli("verify", "out", "--study", "yours.py", "--device", "cpu")[0] == 0


BEGUN = {
    "by run": None,
    "in Python": "it was begun in Python: --study FILE names a file",
    "by an older version": "an older version began the study and did not keep what was in it: --study FILE",
}
"""How a study was begun, and what is said where its manifest names another file; None: the manifest is not read."""


@pytest.mark.parametrize("begun", BEGUN)
@pytest.mark.parametrize("older_form", [False, True])
@pytest.mark.parametrize("command", ["verify", "finish"])
def test_a_file_that_only_the_manifest_names_is_never_run(
    task: Task, tmp_path: Path, cli: Cli, mine: Path, begun: str, older_form: bool, command: str
) -> None:
    out = tmp_path / ("python" if begun == "in Python" else "out")
    if begun == "in Python":
        go(task, out, trials=1, sampler="knapsack")
    if begun == "by an older version":
        _forget(out, SOURCE)
    mark, evil = tmp_path / "mark", tmp_path / "evil.py"
    evil.write_text(EVIL.format(root=ROOT, mark=str(mark)))
    source = Source.of_file(evil).to_json()  # with its hash
    if older_form:
        source |= {"asked": source.pop("options"), "kinds": None, "int8": False}
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps(manifest | {"source": source}))
    code, said = cli(command, str(out), "--device", "cpu", *(["--epochs", "1"] if command == "finish" else []))
    assert not mark.exists()
    refused = BEGUN[begun]
    assert code == 0 if refused is None else (code == 2 and refused in said)


def test_a_study_of_an_older_version_says_its_file_in_the_manifest_alone(mine: Path, cli: Cli) -> None:
    manifest = json.loads(Path("out/manifest.json").read_text())
    manifest["source"] = {"study": str(mine), "asked": {}, "folder": ".", "kinds": None, "int8": False, "seed": 0}
    Path("out/manifest.json").write_text(json.dumps(manifest))
    _forget(Path("out"), SOURCE)
    code, said = cli("verify", "out")
    assert code == 2 and "an older version began the study and did not keep what was in it: --study FILE" in said
    assert cli("verify", "out", "--study", "mine.py", "--device", "cpu")[0] == 0
    assert cli("run", "mine.py", "--out", "out", "--device", "cpu")[0] == 0
    assert cli("verify", "out", "--device", "cpu")[0] == 0


def _forget(out: Path, attribute: str) -> None:
    with sqlite3.connect(out / "study.db") as database:
        database.execute("DELETE FROM study_user_attributes WHERE key = ?", [attribute])


def test_what_python_compiled_before_is_not_run(mine: Path, cli: Cli) -> None:
    """A crafted file in ``__pycache__`` beside the study's own would have run in its place."""
    import importlib.util
    import py_compile

    mark, evil = mine.parent / "mark", mine.parent / "evil.py"
    evil.write_text(EVIL.format(root=ROOT, mark=str(mark)))
    cached = importlib.util.cache_from_source(str(mine))
    py_compile.compile(str(evil), cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert cli("verify", "out", "--device", "cpu")[0] == 0
    assert not mark.exists()


def test_the_path_and_the_modules_are_as_before(mine: Path) -> None:
    path, before = list(sys.path), sys.modules.get("mine")
    assert load_task(str(mine)).name == "mine"
    assert sys.path == path and sys.modules.get("mine") is before
    with importable(Source.of_file(mine)):
        assert sys.path[0] == str(mine.parent)
    assert sys.path == path


def test_a_file_named_like_a_module_does_not_replace_it(tmp_path: Path) -> None:
    path = tmp_path / "json.py"
    path.write_text(MINE.format(root=ROOT))
    assert load_task(str(path)).name == "mine"
    assert sys.modules["json"] is json


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match="how the study's task was loaded must name a study"):
        Source.from_json({"study": 3})


@pytest.mark.parametrize(
    "damage",
    [
        {"options": [1]},
        {"options": "kinds"},
        {"options": 3},
        {"asked": [1]},
        {"seed": "1"},
        {"folder": 3},
        {"sha256": ["a"]},
    ],
    ids=str,
)
def test_what_was_damaged_is_said(damage: dict[str, Any]) -> None:
    (name,) = damage
    with pytest.raises(RankfrontError, match=f"how the study's task was loaded is damaged: {name} cannot be"):
        Source.from_json({"study": "digits", **damage})


@pytest.mark.parametrize("nothing", [{}, {"options": None}, {"asked": None, "seed": None}], ids=str)
def test_what_was_not_given_has_defaults(nothing: dict[str, Any]) -> None:
    assert Source.from_json({"study": "digits", **nothing}) == Source(study="digits")
