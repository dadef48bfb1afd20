"""What belongs together in a trial is stored at once, and reads as if Optuna had stored it one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study

from rankfront.search.storage.database import database_of, open_storage
from rankfront.search.storage.study_storage import set_params, set_user_attrs

SPACE: dict[str, BaseDistribution] = {f"layer {i}.choice": IntDistribution(1, 9 + i, log=True) for i in range(3)}
PARAMS = {name: place + 2 for place, name in enumerate(SPACE)}
ATTRIBUTES: dict[str, Any] = {"plan": {"fc": ["svd", 3], "ünïcode": ["dense", None]}, "slot": 0, "nan": None}


@pytest.fixture
def study(storage: str | None, tmp_path: Path) -> Study:
    return optuna.create_study(study_name="blobs", storage=open_storage(database_of(tmp_path, storage)))


def test_it_reads_as_if_it_had_been_stored_one_by_one(study: Study, storage: str | None, tmp_path: Path) -> None:
    at_once, one_by_one = study.ask(), study.ask({name: SPACE[name] for name in SPACE})
    for _ in range(2):  # as where the answer was lost
        set_params(at_once, PARAMS, SPACE)
        set_user_attrs(at_once, ATTRIBUTES)
    for name, value in ATTRIBUTES.items():
        one_by_one.set_user_attr(name, value)
    assert at_once.params == PARAMS and at_once.user_attrs == ATTRIBUTES
    assert [at_once.suggest_int(name, 1, 9 + i, log=True) for i, name in enumerate(SPACE)] == list(PARAMS.values())
    first, second = optuna.load_study(
        study_name="blobs", storage=open_storage(database_of(tmp_path, storage))
    ).get_trials(deepcopy=False)
    assert first.params == PARAMS and list(first.params) == list(second.params)
    assert (first.distributions, first.user_attrs) == (second.distributions, second.user_attrs)
    for mine, other in ((first.params, second.params), (first.user_attrs["plan"], second.user_attrs["plan"])):
        assert all(a is b for a, b in zip(mine, other, strict=True)), "a name is kept once"
    assert all(first.distributions[name] is second.distributions[name] for name in SPACE)


def test_a_trial_that_has_ended_is_not_changed(study: Study) -> None:
    trial = study.ask()
    study.tell(trial, 1.0)
    with pytest.raises(UpdateFinishedTrialError):
        set_params(trial, PARAMS, SPACE)
    with pytest.raises(UpdateFinishedTrialError):
        set_user_attrs(trial, ATTRIBUTES)
    (stored,) = study.get_trials()
    assert stored.params == {} == stored.user_attrs


def test_other_storages_store_attributes_one_by_one() -> None:
    trial = optuna.create_study().ask()
    set_params(trial, PARAMS, SPACE)
    set_user_attrs(trial, ATTRIBUTES)
    assert trial.study.trials[0].user_attrs == ATTRIBUTES and trial.params == {}
