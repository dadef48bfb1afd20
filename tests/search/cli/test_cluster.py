"""The commands for a study with several workers."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from rankfront.search.storage.database import open_storage
from rankfront.search.storage.existing import TRIALS
from tests.search.cli.conftest import STUDY, Cli


def test_a_worker_needs_nothing_but_the_database(rankfront: Cli, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    assert rankfront("run", "mine.py", "--trials", "1", "--storage", storage, "--device", "cpu")[0] == 0
    study = optuna.load_study(study_name="mine", storage=open_storage(storage))
    study.set_user_attr(TRIALS, 3)
    code, out, _ = rankfront("status", "--storage", storage, "--json")
    assert (code, json.loads(out)["trials"]["total"], json.loads(out)["workers"]) == (0, 3, 0)

    (tmp_path / "mine.py").write_text(STUDY + "\n")
    code, _, err = rankfront("worker", "--storage", storage)
    assert code == 2 and "must be the one that was run, but it has changed since" in err
    code, out, err = rankfront("worker", "runs/mine", "--storage", storage, "--study", "mine.py", "--name", "mine")
    assert (code, err) == (0, "") and "[3/3] trial 2" in out and "[1/3]" not in out
    code, out, _ = rankfront("status", "runs/mine", "--storage", storage)
    assert code == 0 and "trials     3 of 3 done: 3 complete" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status"], "a study must be given: DIR, its folder, or --storage URL, its database"),
        (["worker"], "a study must be given: DIR, its folder, or --storage URL, its database"),
        (["status", "nowhere"], "nowhere must hold a study.db, but has none"),
        (
            ["worker", "--storage", "sqlite:///none.db"],
            "must hold one study, or the one wanted must be named, but holds none",
        ),
        (["move", "nowhere"], "move needs --storage URL"),
        (["run", "mine.py", "--workers", "0"], "workers must be 1 or more, but got 0 (or auto)"),
        (["run", "mine.py", "--workers", "all"], "workers must be a whole number, 1 or more, but got 'all' (or auto)"),
    ],
)
def test_what_cannot_be_is_told(rankfront: Cli, arguments: list[str], said: str) -> None:
    code, out, err = rankfront(*arguments)
    assert (code, out) == (2, "") and said in err
