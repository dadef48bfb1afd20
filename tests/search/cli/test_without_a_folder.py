"""A worker that has nothing but the URLs and the study's file: all else comes from the object store."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from rankfront import Result
from rankfront.search.storage.database import open_storage
from rankfront.search.storage.existing import TRIALS
from rankfront.search.storage.remote_files import RemoteFiles
from tests.postgres import PASSWORD
from tests.search.cli.conftest import STUDY, Cli
from tests.search.storage.test_remote_files import failing

OTHERS = STUDY.replace("trained_perceptron()", "perceptron(seed=7)").replace("trained_perceptron", "perceptron")
"""The same study on a machine where the dense model comes out differently."""

ARCHITECTURE = OTHERS.replace("perceptron(seed=7)", "perceptron(width=20)")


@pytest.mark.parametrize("kind", ["s3", "every third request fails"])
def test_a_worker_in_an_empty_folder_goes_on(
    kind: str,
    rankfront: Cli,
    request: pytest.FixtureRequest,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "s3":
        url = str(request.getfixturevalue("s3"))
    else:
        url = f"memory://{tmp_path}"
        failing(monkeypatch, MemoryFileSystem, lambda number: number % 3 == 0)
        monkeypatch.setattr("rankfront.search.storage.remote_files.PAUSES_S", (0.0,) * 4)
    where = ("--storage", database, "--files", url, "--device", "cpu")
    assert rankfront("run", "mine.py", "--trials", "2", "--sampler", "knapsack", *where)[0] == 0
    optuna.load_study(study_name="mine", storage=open_storage(database)).set_user_attr(TRIALS, 4)

    other = tmp_path / "other machine"
    other.mkdir()
    monkeypatch.chdir(other)
    (other / "mine.py").write_text(ARCHITECTURE)
    code, _, err = rankfront("worker", *where, "--study", "mine.py")
    assert code == 2 and "it differs in the model's architecture" in err
    (other / "mine.py").write_text(OTHERS)
    code, _, err = rankfront("run", "mine.py", *where)
    assert code == 2 and "it differs in the model's weights" in err, "run could mean a new study"
    code, out, err = rankfront("worker", *where, "--study", "mine.py")
    assert (code, err) == (0, "") and "the dense model has the study's weights" in out
    assert "[3/4] trial 2" in out and "[1/4]" not in out and PASSWORD not in out

    mine, others = (Result.open(folder / "runs" / "mine", database) for folder in (tmp_path, other))
    assert len(others.records) == 4 and {record.state for record in others.records} == {"complete"}
    assert {trial.trial for trial in others.retained} == others.folder.with_weights()
    (dense,) = RemoteFiles(url, "mine").names("dense")
    assert (mine.folder.path / dense).read_bytes() == (others.folder.path / dense).read_bytes()
    code, out, err = rankfront("verify", "runs/mine", "--storage", database, "--study", str(tmp_path / "mine.py"))
    assert (code, err) == (0, "") and ", 0 that do not hold" in out
