"""What a user types, and what is said of what cannot be."""

from __future__ import annotations

import json
import sqlite3
import textwrap
from importlib.metadata import entry_points
from pathlib import Path

import pandas as pd
import pytest

from rankfront import RankfrontError, Result
from rankfront.search.storage.source import Source
from rankfront.search.study.ready import GROUP, ready_studies
from rankfront.search.study.study_file import check_takes
from tests.conftest import perceptron
from tests.search.cli.conftest import STUDY, Cli


def test_from_run_to_export(rankfront: Cli, tmp_path: Path) -> None:
    code, out, err = rankfront("run", "mine.py", "--device", "cpu")
    folder = "runs/mine"
    assert (code, err) == (0, "")
    assert "[4/4] trial 3" in out and "best within the budget" in out
    assert "fewer parameters" in out and f"`rankfront plan {folder}` prints its plan" in out
    assert f"`rankfront finish {folder} --epochs 5` fine-tunes it longer" in out
    assert (tmp_path / folder / "best" / "model.safetensors").exists()

    code, out, _ = rankfront("front", folder)
    assert code == 0 and "→" in out and "dense" in out and "best within params=60%" in out

    code, out, _ = rankfront("front", folder, "--plans", "--budget", "params=50%")
    plans = [line for line in out.splitlines() if line.startswith("plan of trial ")]
    params = sum(each.numel() for each in perceptron().parameters())
    few = [t for t in Result.open(tmp_path / folder).on_front if t.cost("params") <= 0.5 * params]
    assert code == 0 and plans == [f"plan of trial {t.trial}: {t.plan}" for t in few]

    code, out, _ = rankfront("front", folder, "--json", "--budget", "params=50%")
    data = json.loads(out)
    front = pd.read_csv(tmp_path / folder / "front.csv")
    assert [row["trial"] for row in data["front"]] == front[front["params_pct"] <= 50]["trial"].tolist()
    assert data["dense"]["params"] * 0.5 >= front.set_index("trial").loc[data["best"], "params"]

    (tmp_path / folder / "report.html").unlink()
    assert rankfront("report", folder)[0] == 0
    assert (tmp_path / folder / "report.html").exists()

    code, out, _ = rankfront("export", folder, "--to", "small.safetensors", "--budget", "params=50%")
    assert code == 0 and out.split() == ["small.safetensors", "small.plan.json"]
    assert (tmp_path / "small.safetensors").exists() and (tmp_path / "small.plan.json").exists()


def test_what_the_command_line_says_of_other_options_can_be_typed(rankfront: Cli) -> None:
    assert rankfront("run", "mine.py", "--trials", "1")[0] == 0
    code, _, err = rankfront("run", "mine.py", "--budget", "params=70%", "--trials", "2")
    assert code == 2 and "`rankfront front runs/mine --budget params=70%` gives the best" in err
    assert "give another --out" in err
    assert rankfront("front", "runs/mine", "--budget", "params=70%")[0] == 0
    code, _, err = rankfront("run", "mine.py", "--seed", "3")
    assert code == 2 and err.endswith("its seed is 0, not 3; give another --out, or what it was begun with\n")


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("def study(seed): ...", True),
        ("def study(*, seed, text=None): ...", True),
        ("def study(seed, data=None): ...", False),
        ("def study(**options): ...", False),
        ("import functools\n@functools.cache\ndef study(seed): ...", False),
        ("def study(seed): ...\nstudy = print", False),
        ("study = print", False),
        ("not Python", False),
    ],
)
def test_an_option_that_a_file_does_not_take_is_told_before_it_is_run(tmp_path: Path, code: str, refused: bool) -> None:
    (tmp_path / "mine.py").write_text(code)
    source = Source.of_file(tmp_path / "mine.py", options={"data": str(tmp_path), "int8": True})
    if refused:
        with pytest.raises(RankfrontError, match="takes no --data"):
            check_takes(source)
    else:
        check_takes(source)


def test_verify_says_how_far_it_is(rankfront: Cli, tmp_path: Path) -> None:
    assert rankfront("run", "mine.py", "--trials", "2")[0] == 0
    code, out, _ = rankfront("verify", "runs/mine")
    count = len(Result.open(tmp_path / "runs/mine").on_front)
    assert code == 0 and f"[{count}/{count}] trial" in out and "figures hold" in out
    (tmp_path / "mine.py").write_text(STUDY + "\n")
    code, out, err = rankfront("verify", "runs/mine")
    assert code == 2 and "it has changed since" in err and "loading" not in out


@pytest.mark.parametrize("place", ["/proc/runs", "/sys/runs", "/dev/null/runs"])
def test_out_where_nothing_can_be_written(rankfront: Cli, place: str) -> None:
    code, out, err = rankfront("run", "mine.py", "--out", place)
    assert code == 2 and "out must be a folder" in err and "Errno" not in err and "loading" not in out


def test_lists_the_ready_studies(rankfront: Cli) -> None:
    code, out, _ = rankfront("studies")
    assert code == 0
    names = {point.name for point in entry_points(group=GROUP)}
    assert {"digits", "mnist-mlp"} <= names
    assert {line.split()[0] for line in out.splitlines()} == names


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["run", "nope"],
            f"STUDY must be one of {', '.join(sorted(ready_studies()))} or a Python file, but got 'nope'",
        ),
        (["run", "digitz"], "but got 'digitz': did you mean digits?"),
        (["run", "mine.py", "--sampler", "tpee"], "but got 'tpee': did you mean tpe?"),
        (["run", "mine.py", "--kinds", "svd,tucker"], "but got 'tucker': did you mean tucker2?"),
        (["run", "mine.py", "--focus", "best"], "focus must be budget or front, but got 'best'"),
        (["run", "mine.py", "--refit", "blocks"], 'refit must be "layer", "block", "network" or None'),
        (["run", "mine.py", "--sensitivity", "loss"], "sensitivity must be one of auto, outputs, fisher, none"),
        (["run", "nope.py"], "there is no such file"),
        (["run", "mine.py", "--budget", "params=5"], "must carry % or one of K, M, G, T"),
        (["run", "mine.py", "--budget", "params=0.1%"], "below the smallest possible plan: params can be at least"),
        (["run", "mine.py", "--sampler", "cma"], "sampler must be one of"),
        (["run", "mine.py", "--trials", "0"], "trials must be 1 or more, but got 0"),
        (["run", "mine.py", "--trials", "many"], "must be a whole number, but got 'many'"),
        (["run", "mine.py", "--timeout", "soon"], "timeout must be a duration such as 90s"),
        (["run", "mine.py", "--device", "tpu"], "device must be auto, cpu or cuda, but got 'tpu'"),
        (["run", "mine.py", "--seed", "-1"], "seed must be from 0"),
        (["run", "mine.py", "--objectives", "params"], "objectives must be the score and any of"),
        (["run", "mine.py", "--storage", "no url"], "storage must be a database URL"),
        (["run", "mine.py", "--frobnicate"], "No such option: --frobnicate"),
        (["run"], "Missing argument 'STUDY'"),
        (["front", "nowhere"], "nowhere must hold a study.db, but has none"),
        (["export", "nowhere", "--to", "x.safetensors"], "must hold a study.db"),
        (["export", "nowhere", "--to", "x.onnx"], "must hold a study.db"),
        (["export", "nowhere", "--to", "x.tflite"], "--to must be a folder, or end in one of .onnx"),
        (
            ["export", "nowhere", "--to", "x.safetensors", "--int8", "weights"],
            "int8 must be given with a file of a",
        ),
        (["export", "nowhere", "--to", "folder", "--engine", "openvino"], "engine must be given with a file of a net"),
        (["export", "nowhere", "--to", "x.onnx", "--engine", "trt"], "engine must be one of eager, inductor, onnxrun"),
        (["export", "nowhere", "--to", "x.onnx", "--form", "fast"], "form must be one of fastest, identity, plain"),
        (["code", "nowhere"], "nowhere must hold a study.db"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_nothing_is_written(
    rankfront: Cli, tmp_path: Path, arguments: list[str], said: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, _, err = rankfront(*arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1 and err.startswith("rankfront: error: ")
    assert [p for p in sorted(tmp_path.rglob("*")) if "__pycache__" not in p.parts] == before


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("study = 3", "must be a rankfront.Task or a function"),
        ("other = 3", "must define study"),
        ("1 / 0", "must run without an error, but raised ZeroDivisionError: division by zero (the file, "),
        ("def study(): return 3", "must return a rankfront.Task, but returned int"),
        ("def study(): raise KeyError('x')", "must run without an error, but raised KeyError: 'x' (study, "),
        (
            """
            import torch
            from rankfront import Task
            data = torch.zeros(4, 3), torch.zeros(4)
            study = Task(torch.nn.ReLU(), data, data)
            """,
            "must have a Linear or convolution",
        ),
        (
            """
            import torch
            from rankfront import Task
            study = Task(torch.nn.Linear(3, 3), (torch.zeros(4, 3), torch.zeros(5)), 1)
            """,
            "train inputs and targets must have the same length",
        ),
    ],
)
def test_a_users_file_that_is_wrong(rankfront: Cli, tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "wrong.py").write_text(textwrap.dedent(code))
    status, _, err = rankfront("run", "wrong.py")
    assert status == 2 and said in err and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_corrupt_database_is_reported(rankfront: Cli, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.db").write_bytes(b"garbage " * 1000)
    for arguments in (["run", "mine.py", "--out", "out"], ["front", "out"]):
        code, _, err = rankfront(*arguments)
        assert code == 2 and "is damaged and cannot be read" in err and err.count("\n") == 1
    assert (tmp_path / "out" / "study.db").read_bytes() == b"garbage " * 1000


def test_a_database_of_something_else_is_reported(rankfront: Cli, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with sqlite3.connect(tmp_path / "out" / "study.db") as connection:
        connection.execute("create table t (x)")
    code, _, err = rankfront("front", "out")
    assert code == 2 and err.count("\n") == 1


def test_out_that_is_a_file(rankfront: Cli, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    code, _, err = rankfront("run", "mine.py", "--out", "out")
    assert code == 2 and "out must be a folder, but out is a file" in err


@pytest.mark.parametrize("held", ["models", "best", "report.html"])
def test_out_that_holds_what_a_study_would_replace(rankfront: Cli, tmp_path: Path, held: str) -> None:
    (tmp_path / "out" / held).mkdir(parents=True)
    (tmp_path / "out" / "notes.txt").write_text("")
    code, _, err = rankfront("run", "mine.py", "--out", "out")
    assert code == 2 and f"holds no study and a study would replace its {held}: give another folder" in err
    assert not (tmp_path / "out" / "study.db").exists()


@pytest.mark.parametrize("command", [["run", "mine.py", "--out", "shut/out"], ["run", "nope", "--out", "new"]])
def test_a_folder_is_made_only_when_all_is_well(rankfront: Cli, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "shut").write_text("a file where a folder should be")
    assert rankfront(*command)[0] == 2
    assert not (tmp_path / "new").exists()


def test_debug_shows_a_traceback(rankfront: Cli) -> None:
    code, _, err = rankfront("run", "nope", "--debug")
    assert code == 2 and "Traceback" in err


def test_cuda_without_one(rankfront: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = rankfront("run", "mine.py", "--device", "cuda")
    assert code == 2 and "device cuda needs an NVIDIA GPU" in err


def test_other_storage(rankfront: Cli, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    assert rankfront("run", "mine.py", "--storage", url, "--out", "out")[0] == 0
    assert not (tmp_path / "out" / "study.db").exists()
    code, out, _ = rankfront("front", "out", "--storage", url)
    assert code == 0 and "best within" in out


def test_no_arguments_print_the_help(rankfront: Cli) -> None:
    code, out, err = rankfront()
    assert code == 0 and "Usage: rankfront" in out and err == ""
