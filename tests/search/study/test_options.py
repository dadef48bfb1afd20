"""Options are written once, and what is not given is the stored study's own."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import rankfront
from rankfront import RankfrontError, Result, Task
from rankfront.search.cli.main import main
from rankfront.search.study.computing import Computing, FinishSettings
from rankfront.search.study.loading import Loading
from rankfront.search.study.options import readings
from rankfront.search.study.settings import Settings
from tests.conftest import go

STUDY = """
import json, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from rankfront import FineTune, Task
from tests.conftest import blobs, trained_perceptron

def study(seed, data=None, weights=None, image_size=0):
    got = [seed, str(data), str(weights), image_size]
    with open({log!r}, "a") as file:
        file.write(json.dumps(got) + "\\n")
    return Task(trained_perceptron(), blobs(200, 1), blobs(100, 2), name="mine", calibration=100,
                finetune=FineTune(epochs=0))
"""


FUNCTIONS = {
    "run": (rankfront.run, ["task"], [Settings, Loading]),
    "finish": (rankfront.finish, ["task", "out"], [FinishSettings]),
    "verify": (rankfront.verify, ["task", "out"], [Computing]),
}
"""Function → its arguments that may be given by position, and the classes of the command's options."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_the_options_as_keywords(name: str) -> None:
    function, given, (options, *_) = FUNCTIONS[name]
    parameters = list(inspect.signature(function).parameters.values())
    first, keywords = parameters[: len(given)], parameters[len(given) :]
    assert [p.name for p in first] == given
    assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in first)
    assert [p.name for p in keywords] == [f.name for f in fields(options)]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in keywords)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_help_of_a_function_says_every_argument(name: str) -> None:
    function, given, (options, *_) = FUNCTIONS[name]
    text = inspect.getdoc(function) or ""
    for argument in (*given, *(f.name for f in fields(options))):
        assert text.count(f"\n    {argument}: ") == 1
    assert "{options}" not in text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_command_line_has_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown = capsys.readouterr().out
    for option in [option for options in FUNCTIONS[name][2] for option in readings(options)]:
        assert f"--{option.replace('_', '-')} " in shown
    assert "--progress" not in shown and "--source" not in shown


def test_all_arguments_may_be_given_by_name(task: Task, tmp_path: Path) -> None:
    rankfront.run(task=task, out=tmp_path, trials=1, sampler="knapsack", device="cpu", progress=False)
    rankfront.finish(task=task, out=tmp_path, epochs=1, device="cpu", progress=False)
    assert all(check.holds for check in rankfront.verify(task=task, out=tmp_path, device="cpu", progress=False))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["finish", "--epochs", "0"], "epochs must be 1 or more, but got 0"),
        (["finish", "--epochs", "1", "--budget", "params=5"], "must carry % or one of K, M, G, T"),
        (["finish", "--epochs", "1", "--device", "tpu"], "device must be auto, cpu or cuda"),
        (["finish"], "Missing option '--epochs'"),
        (["verify", "--device", "tpu"], "device must be auto, cpu or cuda"),
        (["verify", "--storage", "no url"], "storage must be a database URL"),
    ],
)
def test_a_wrong_option_is_said_before_the_folder_is_read(
    wrong: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name, *options = wrong
    assert command(name, str(tmp_path / "nowhere"), *options) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_option_is_refused(task: Task, tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match="run takes no argument 'trails': did you mean trials"):
        go(task, tmp_path / "out", trails=3)


GIVEN = [
    ("budget", "params=50%", "params=50%", "params=40%"),
    ("objectives", "accuracy,bytes", "score, bytes", "accuracy"),
    ("sampler", "knapsack", "knapsack", "uniform"),
    ("seed", 3, 3, 4),
]


@pytest.mark.parametrize(("option", "value", "stored", "other"), GIVEN)
def test_an_option_that_is_not_given_is_the_studys_own(
    task: Task, tmp_path: Path, option: str, value: Any, stored: Any, other: Any
) -> None:
    go(task, tmp_path / "out", trials=1, **{option: value})
    result = go(task, tmp_path / "out", trials=2)
    assert result.identity[option] == stored
    assert len(result.trials) == 2
    with pytest.raises(RankfrontError, match=f"its {option} is .*, not .*another out="):
        go(task, tmp_path / "out", trials=3, **{option: other})


def test_the_total_of_trials_is_the_studys_own(task: Task, tmp_path: Path) -> None:
    go(task, tmp_path / "out", trials=2, sampler="knapsack")
    assert len(go(task, tmp_path / "out").trials) == 2
    assert len(go(task, tmp_path / "out", trials=3).trials) == 3
    assert len(go(task, tmp_path / "out").trials) == 3


def test_the_task_decides_where_nothing_is_stored(task: Task, tmp_path: Path) -> None:
    result = go(task, tmp_path / "out", sampler="knapsack")
    assert len(result.trials) == task.trials
    assert result.identity["seed"] == 0 and result.identity["budget"] == "none"


def test_a_database_elsewhere_is_asked_for(task: Task, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    go(task, tmp_path / "out", trials=1, storage=url, seed=5)
    with pytest.raises(RankfrontError, match=r"holds a study whose database is .*elsewhere\.db; give --storage"):
        go(task, tmp_path / "out", trials=2)
    assert not (tmp_path / "out" / "study.db").exists()
    assert go(task, tmp_path / "out", trials=2, storage=url).identity["seed"] == 5


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's study that notes what it is called with; it is run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        STUDY.format(root=str(Path(__file__).resolve().parents[3]), log=str(tmp_path / "log"))
    )
    return tmp_path / "mine.py"


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def called_with(mine: Path) -> list[Any]:
    return json.loads((mine.parent / "log").read_text().splitlines()[-1])


LOADED = ["--kinds", "svd,tt", "--data", "data", "--weights", "w.pt", "--image-size", "7", "--seed", "2"]


@pytest.mark.parametrize("out", [[], ["--out", "there"]])
def test_resumed_from_the_command_line_it_is_loaded_as_before(mine: Path, out: list[str]) -> None:
    begin = ["run", "mine.py", "--device", "cpu", "--trials", "1", "--sampler", "knapsack", *LOADED, *out]
    assert command(*begin, "--budget", "params=60%") == 0
    first = called_with(mine)
    assert first == [2, str(mine.parent / "data"), str(mine.parent / "w.pt"), 7]
    folder = Path(out[1] if out else "runs/mine")
    before = Result.open(folder).identity
    assert before["kinds"] == ["svd", "tt"]
    assert command("run", "mine.py", "--device", "cpu", *out) == 0
    assert called_with(mine) == first
    result = Result.open(folder)
    assert result.identity == before and len(result.trials) == 1


TASK = """
import sys
sys.path.insert(0, {root!r})
from rankfront import FineTune, Task
from tests.conftest import blobs, trained_perceptron

study = Task(trained_perceptron(), blobs(200, 1), blobs(100, 2), name="theirs", calibration=100, trials=1,
             finetune=FineTune(epochs=0), int8=True, budget="params=60%", kinds=("svd", "tt"))
"""


@pytest.mark.parametrize(
    ("given", "stored", "value"),
    [
        (["--no-int8"], "int8", False),
        (["--no-int8", "--budget", "none"], "budget", "none"),
        (["--no-int8", "--budget", "params=50%"], "budget", "params=50%"),
        (["--no-int8", "--kinds", "svd"], "kinds", ["svd"]),
        (["--no-int8", "--trials", "2"], "trials", 2),
        (["--no-int8", "--refit", "none"], "refit", False),
        (["--no-int8", "--refit", "block"], "refit", "block"),
        (["--no-int8", "--refit", "layer"], "refit", True),
        (["--no-int8", "--sensitivity", "fisher"], "sensitivity", "fisher"),
        (["--no-int8", "--focus", "front"], "focus", "front"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_task_says_can_be_taken_back(mine: Path, given: list[str], stored: str, value: Any) -> None:
    """And the study keeps that: the same command goes on, one without options too, and verify holds."""
    mine.write_text(TASK.format(root=str(Path(__file__).resolve().parents[3])))
    begin = ["run", "mine.py", "--device", "cpu", "--out", "out"]
    assert command(*begin, "--sampler", "knapsack", *given) == 0
    assert command(*begin, *given) == 0 and command(*begin) == 0
    result = Result.open("out")
    assert (len(result.trials) if stored == "trials" else result.identity[stored]) == value
    assert command("verify", "out", "--device", "cpu") == 0


def test_int8_is_kept(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchao")
    options = ["run", "mine.py", "--device", "cpu", "--out", "out"]
    assert command(*options, "--int8", "--trials", "1", "--sampler", "knapsack") == 0
    assert command(*options, "--trials", "2") == 0
    assert Result.open("out").int8
    capsys.readouterr()
    assert command(*options, "--no-int8") == 2
    assert "its int8 is True, not False" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (["--kinds", "svd"], "its kinds is ['svd', 'tt'], not ['svd']"),
        (["--seed", "1"], "its seed is 2, not 1"),
        (["--refit", "none"], "its refit is True, not False"),
        (["--focus", "front"], "its focus is 'budget', not 'front'"),
        (["--sensitivity", "none"], "its sensitivity is 'auto', not 'none'"),
        (["--sampler", "tpe"], "its sampler is 'knapsack', not 'tpe'"),
    ],
)
def test_a_different_option_is_refused_before_anything_is_loaded(
    mine: Path, capsys: pytest.CaptureFixture[str], other: list[str], said: str
) -> None:
    begin = ["run", "mine.py", "--device", "cpu", "--trials", "1", "--out", "out", "--sampler", "knapsack"]
    assert command(*begin, *LOADED) == 0
    calls = (mine.parent / "log").read_text()
    assert command("run", "mine.py", "--out", "out", *other) == 2
    assert said in capsys.readouterr().err
    assert (mine.parent / "log").read_text() == calls
