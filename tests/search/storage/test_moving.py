"""A study taken from a folder's own database to a server's and back, interrupted anywhere."""

from __future__ import annotations

import functools
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from rankfront import RankfrontError, Task
from rankfront.search.storage import moving
from rankfront.search.storage.database import database_of, open_storage
from rankfront.search.storage.existing import read_stored
from rankfront.search.storage.folder import Folder
from rankfront.search.storage.identity import IDENTITY
from rankfront.search.storage.locks import locks_of
from rankfront.search.storage.moving import MOVED, move
from tests.conftest import go, on_all_servers
from tests.postgres import PASSWORD

NAME = "blobs"

pytestmark = on_all_servers


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with a study of trials in all states."""
    folder = Folder(tmp_path / "out")
    folder.path.mkdir()
    folder.manifest.write_text(json.dumps({"study": NAME, "trials": 9}))
    study = optuna.create_study(
        study_name=NAME, storage=open_storage(database_of(folder.path, None)), directions=["maximize", "minimize"]
    )
    study.set_user_attr(IDENTITY, {"seed": 1, "budget": "params=5%"})
    study.set_metric_names(["accuracy", "params"])
    for number in range(3):
        add(study, number)
    trial = study.ask({"layer": IntDistribution(0, 4)})
    trial.set_user_attr("reason", "it is still running")
    return folder


def add(study: Study, number: int) -> None:
    trial = create_trial(
        state=TrialState.COMPLETE if number else TrialState.FAIL,
        values=[0.1 * number, 1e-300] if number else None,
        params={"layer": number},
        distributions={"layer": IntDistribution(0, 4)},
        user_attrs={"plan": {"0": ["svd", 3]}, "score": float("nan"), "ünïcode": "’"},
        intermediate_values={0: 0.5, 1: float("inf")},
        constraints={"params": -0.1},
    )
    trial.datetime_start = datetime(2026, 1, 1, 12, 0, number, 123456)
    trial.datetime_complete = trial.datetime_start + timedelta(seconds=3.25)
    study.add_trial(trial)


@functools.cache
def opened(storage: str) -> RDBStorage:
    """Return a server's database: to open it takes longer than to read it."""
    return open_storage(storage)


def study_in(folder: Folder, storage: str | None) -> Study:
    own = open_storage(database_of(folder.path, None)) if storage is None else opened(storage)
    return optuna.load_study(study_name=NAME, storage=own)


def contents(study: Study) -> tuple[Any, ...]:
    """All that a study holds, as text, but its place."""
    trials = [{k: str(v) for k, v in vars(trial).items() if k != "_trial_id"} for trial in study.trials]
    attributes = {**study.user_attrs, IDENTITY: study.user_attrs[IDENTITY] | {"out": None}}
    return trials, attributes, study.directions, study.metric_names


def names_in(storage: str) -> list[str]:
    return optuna.get_all_study_names(opened(storage))


def test_there_and_back_nothing_is_lost(folder: Folder, database: str) -> None:
    before = contents(study_in(folder, None))
    move(folder, database, back=False)
    assert contents(study_in(folder, database)) == before and names_in(database) == [NAME]
    assert study_in(folder, database).user_attrs[IDENTITY]["out"] == str(folder.path.resolve())
    assert not folder.database.exists() and folder.database.with_name(f"study.db{MOVED}").exists()
    assert PASSWORD not in folder.manifest.read_text()
    with pytest.raises(RankfrontError, match=r"holds a study whose database is (postgresql|mysql)"):
        read_stored(folder, None)
    assert read_stored(folder, database) is not None

    move(folder, database, back=True)
    assert contents(study_in(folder, None)) == before and names_in(database) == []
    assert "out" not in study_in(folder, None).user_attrs[IDENTITY]
    with pytest.raises(
        RankfrontError, match=r"holds a study whose database is its own, not (postgresql|mysql)"
    ) as refused:
        read_stored(folder, database)
    assert PASSWORD not in str(refused.value)
    assert read_stored(folder, None) is not None


STEPS = [
    ("create_new_trial", True),
    ("_rename", False),
    ("_rename", True),
    ("_write_manifest", True),
    ("_take_away", True),
]
"""Where a move is interrupted: before or after these; the first after the third of four trials."""


def interrupted(monkeypatch: pytest.MonkeyPatch, step: str, after: bool) -> None:
    """Interrupt a move before or after one of its steps."""
    where = (moving, step) if step.startswith("_") else (_CachedStorage, step)
    original, calls = getattr(*where), 0

    def stopped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        found = original(*args, **kwargs) if after else None
        if step.startswith("_") or calls == 3:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(*where, stopped)


@pytest.mark.parametrize(("step", "after"), STEPS)
def test_the_same_command_goes_on_wherever_it_was_interrupted(
    folder: Folder, database: str, step: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(study_in(folder, None))
    for back in (False, True):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            interrupted(patched, step, after)
            move(folder, database, back=back)
        move(folder, database, back=back)
        assert contents(study_in(folder, None if back else database)) == before
        assert names_in(database) == ([] if back else [NAME])
        assert folder.database.exists() == back


def test_a_copy_is_made_again_where_the_original_went_on(
    folder: Folder, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupted(patched, "_write_manifest", False)
        move(folder, database, back=False)
    add(study_in(folder, None), 4)
    before = contents(study_in(folder, None))
    move(folder, database, back=False)
    assert contents(study_in(folder, database)) == before


def test_two_that_both_went_on_are_both_kept(folder: Folder, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupted(patched, "_write_manifest", False)
        move(folder, database, back=False)
    add(study_in(folder, None), 3)
    add(study_in(folder, database), 4)
    with pytest.raises(RankfrontError, match=f"holds another study '{NAME}' already") as refused:
        move(folder, database, back=False)
    assert PASSWORD not in str(refused.value)
    assert len(study_in(folder, None).trials) == len(study_in(folder, database).trials) == 5


@pytest.mark.parametrize("back", [False, True])
def test_a_study_with_a_worker_is_not_moved(folder: Folder, database: str, back: bool) -> None:
    if back:
        move(folder, database, back=False)
    at_work = locks_of(folder, database if back else None, NAME)
    with (
        at_work.living("me"),
        pytest.raises(RankfrontError, match=f"'{NAME}' must have no worker when it is moved, but 1 is at work"),
    ):
        move(folder, database, back=back)
    move(folder, database, back=back)


def test_a_folder_without_a_study_is_told(tmp_path: Path, database: str) -> None:
    folder = Folder(tmp_path)
    with pytest.raises(RankfrontError, match="move needs a study's folder, and another database than its own"):
        move(folder, database, back=False)
    folder.manifest.write_text(json.dumps({"study": NAME}))
    with pytest.raises(RankfrontError, match=f"must hold study '{NAME}', but does not"):
        move(folder, database, back=False)


def test_a_moved_study_goes_on(task: Task, tmp_path: Path, database: str) -> None:
    out = tmp_path / "out"
    go(task, out, trials=2)
    move(Folder(out), database, back=False)
    go(task, out, trials=3, storage=database)
    move(Folder(out), database, back=True)
    result = go(task, out, trials=4)
    assert [record.trial for record in result.records] == [0, 1, 2, 3] and result.front["test_accuracy"].notna().all()
