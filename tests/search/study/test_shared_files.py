"""Two machines without a common folder on one study: a PostgreSQL database, and files under a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankfront import RankfrontError, Result, Task
from rankfront.objectives.kinds.cache import DecompositionCache
from rankfront.search.storage.remote_files import RemoteFiles
from rankfront.search.study.shared_files import weights_name
from tests.conftest import go


def test_a_machine_goes_on_where_another_one_stopped(
    task: Task, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://{tmp_path}"
    first, second = tmp_path / "first", tmp_path / "second"
    go(task, first, trials=3, storage=database, files=url, budget="params=70%")
    with pytest.raises(RankfrontError, match=r"the study's files are shared under memory://.*: give --files, too"):
        go(task, second, storage=database)
    monkeypatch.setattr(DecompositionCache, "store", lambda *_: pytest.fail("it was decomposed elsewhere"))
    result = go(task, second, trials=5, storage=database, files=url)  # the budget is the study's own
    assert len(result.records) == 5 and str(result.budget) == "params=70%"
    retained = {trial.trial for trial in Result.open(second, database).retained}
    assert retained <= result.folder.with_weights() and retained & {0, 1, 2}, "some are of the first machine"
    assert all(result.load(trial, task.model) is not None for trial in result.retained)

    files = RemoteFiles(url, "blobs")
    digests = {t.user_attrs["weights sha256"] for t in result.study.trials if t.number in retained}
    assert files.names("weights") == {weights_name(sha256) for sha256 in digests}
    for name in ("front.csv", "report.html", "best/model.safetensors", "manifest.json"):
        files.fetch(name, tmp_path / "there" / name)
        assert (tmp_path / "there" / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("storage", [None, "sqlite:///elsewhere.db"])
def test_files_need_a_database_that_machines_can_share(task: Task, tmp_path: Path, storage: str | None) -> None:
    with pytest.raises(RankfrontError, match="files needs a database that all machines reach"):
        go(task, tmp_path, storage=storage, files="memory://studies")
