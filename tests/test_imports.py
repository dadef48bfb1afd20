"""What is imported when: the faces of all folders are lazy, and whoever only asks waits for no torch."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "optuna", "pandas", "scipy", "plotly", "sqlalchemy", "numpy", "torch._dynamo", "scipy.optimize")

STUDY = """
from rankfront import FineTune, Task
from tests.conftest import blobs, trained_perceptron

task = Task(trained_perceptron(), blobs(200, 1), blobs(100, 2), name="mine", calibration=100,
            finetune=FineTune(epochs=0))
"""


def folders() -> list[str]:
    """Return the package and every folder of it that exports something."""
    stubs = [ROOT / "rankfront" / "__init__.pyi"]
    stubs += [path for room in ("objectives", "search", "studies") for path in (ROOT / room).rglob("__init__.pyi")]
    return [".".join(["rankfront", *path.parent.relative_to(ROOT).parts]).replace("rankfront.rankfront", "rankfront")
            for path in sorted(stubs)]  # fmt: skip


@pytest.mark.parametrize("name", folders())
def test_every_name_of_every_face_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__
    for exported in module.__all__:
        assert getattr(module, exported) is not None
        assert exported in dir(module)
    with pytest.raises(AttributeError):
        _ = module.no_such_name


@pytest.mark.parametrize("name", folders())
def test_no_face_has_the_name_of_a_file_beside_it(name: str) -> None:
    folder = ROOT / Path(*name.split(".")[1:]) if name != "rankfront" else ROOT / "rankfront"
    beside = {path.stem for path in folder.iterdir()} - {"__init__"}
    assert not beside & set(importlib.import_module(name).__all__)


def test_every_folder_has_a_face() -> None:
    for room in ("objectives", "search", "studies"):
        for path in (ROOT / room).rglob("__init__.py"):
            assert path.with_suffix(".pyi").exists(), path
            assert ast.get_docstring(ast.parse(path.read_text()))


def imported_by(code: str, *arguments: str) -> set[str]:
    """Return the heavy packages that a fresh process has imported when it has run this code."""
    script = (
        "import sys, json, atexit\n"
        f"atexit.register(lambda: print(json.dumps(sorted(set(sys.modules) & set({HEAVY!r}))), file=sys.stderr))\n"
        + code
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def imported_by_command(*arguments: str) -> set[str]:
    return imported_by("from rankfront.search.cli.main import main; main()", *arguments)


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert imported_by("import rankfront, rankfront.objectives, rankfront.search, rankfront.studies") == set()
    assert "torch" not in imported_by("import rankfront; rankfront.Plan, rankfront.Metrics, rankfront.RankfrontError")


def test_a_task_and_a_look_at_a_study_need_no_compiler() -> None:
    code = """
from tests.conftest import blobs, perceptron
import rankfront

rankfront.Task(perceptron(), blobs(20, 1), blobs(20, 2)), rankfront.run, rankfront.finish, rankfront.verify
"""
    assert not imported_by(code) & {"torch._dynamo", "scipy.optimize"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["studies"],
        ["run", "nope"],
        ["run", "digits", "--frobnicate"],
        ["run", "digits", "--budget", "params=5"],
        ["run", "digits", "--trials", "0"],
        ["run", "digits", "--timeout", "soon"],
        ["run", "digits", "--sampler", "cma"],
        ["run", "digits", "--objectives", "params"],
        ["run", "digits", "--kinds", "pca"],
        ["run", "digits", "--device", "tpu"],
        ["run", "digits", "--seed", "-1"],
        ["run", "digits", "--out", "/proc/runs"],
        ["finish", "nowhere", "--epochs", "0"],
        ["finish", "nowhere", "--epochs", "2"],
        ["verify", "nowhere"],
        ["front", "nowhere"],
        ["front", "nowhere", "--budget", "params=5"],
        ["report", "nowhere"],
        ["export", "nowhere", "--to", "x.safetensors"],
        ["export", "nowhere", "--to", "x.onnx"],
        ["code", "nowhere"],
    ],
    ids=" ".join,
)
def test_help_and_usage_errors_import_nothing_heavy(arguments: list[str]) -> None:
    assert imported_by_command(*arguments) == set()


def test_an_option_that_a_study_does_not_take_imports_no_torch(tmp_path: Path) -> None:
    assert "torch" not in imported_by_command("run", "digits", "--data", ".", "--out", str(tmp_path / "out"))


def test_python_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rankfront", "--help"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (0, "") and "Usage: rankfront" in done.stdout
    assert "..." not in done.stdout.replace("[ARGS]...", "")  # no command's line is cut


def test_front_and_report_import_no_torch(tmp_path: Path) -> None:
    code = STUDY + "\nimport rankfront, sys\nrankfront.run(task, out=sys.argv[1], trials=2, sampler='knapsack')"
    out = str(tmp_path / "out")
    assert "torch" in imported_by(code, out)
    for command in (["front", out], ["front", out, "--json"], ["report", out]):
        assert not imported_by_command(*command) & {"torch", "pandas"}
    assert "torch" not in imported_by_command("export", out, "--to", str(tmp_path / "m.safetensors"))
