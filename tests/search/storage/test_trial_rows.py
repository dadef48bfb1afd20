"""Trials read as Optuna itself reads them from the same database; parameters of a running trial are read once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import event

from rankfront.search.storage import trial_rows
from rankfront.search.storage.database import database_of, open_storage
from rankfront.search.storage.study_storage import StudyStorage, set_params

SPACE: dict[str, BaseDistribution] = {
    "z.choice": IntDistribution(1, 64, log=True),
    "a.choice": IntDistribution(0, 9),
    "rate": FloatDistribution(1e-4, 1.0, log=True),
    "kind": CategoricalDistribution(("svd", None, 3, True)),
}
VALUES = {
    "z.choice": st.integers(1, 64),
    "a.choice": st.integers(0, 9),
    "rate": st.floats(1e-4, 1.0),
    "kind": st.sampled_from(("svd", None, 3, True)),
}
SOME = dict[str, Any]
REPORTS = st.dictionaries(st.integers(0, 3), st.floats(width=32), max_size=3)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["slot", "ünïcode", "plan"]),
    st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=40), st.lists, max_leaves=4),
)
TRIALS = st.lists(
    st.fixed_dictionaries(
        {
            "params": st.fixed_dictionaries({}, optional=VALUES),
            "reports": REPORTS,
            "attributes": ATTRIBUTES,
            "fixed": st.booleans(),
            "state": st.sampled_from([None, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]),
            "value": st.floats(-1e300, 1e300) | st.sampled_from([float("inf"), float("-inf")]),
        }
    ),
    max_size=5,
)


@pytest.fixture
def url(storage: str | None, tmp_path: Path) -> str:
    return database_of(tmp_path, storage)


@pytest.fixture
def study(url: str) -> Study:
    return optuna.create_study(study_name="rows", storage=open_storage(url))


def suggested(trial: Trial, params: SOME) -> None:
    """Store parameters one by one, as Optuna does."""
    for name, value in params.items():
        distribution = SPACE[name]
        trial.storage.set_trial_param(trial._trial_id, name, distribution.to_internal_repr(value), distribution)


def text(trial: FrozenTrial) -> str:
    """Return all of a trial, parameters in their order; as text, since nan is not itself."""
    unordered = trial.user_attrs, trial.system_attrs, trial.intermediate_values, trial.distributions
    whole = trial.number, trial._trial_id, trial.state, trial.values, trial.datetime_start, trial.datetime_complete
    return repr((*whole, trial.params, *(sorted(each.items()) for each in unordered)))


def as_optuna_reads(url: str, name: str) -> list[FrozenTrial]:
    plain = RDBStorage(url)
    try:
        return plain.get_all_trials(plain.get_study_id_from_name(name))
    finally:
        plain.engine.dispose()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(first=TRIALS, second=TRIALS, at_once=st.integers(1, 3))
def test_trials_are_as_optuna_reads_them(url: str, first: list[SOME], second: list[SOME], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_rows, "AT_ONCE", at_once)
        storage = open_storage(url)
        study = optuna.create_study(storage=storage)
        reader = optuna.load_study(study_name=study.study_name, storage=open_storage(url))
        for some in (first, second):  # looks in between, so that the second are read beside what is known
            for one in some:
                if one["fixed"]:
                    study.enqueue_trial(one["params"], user_attrs=one["attributes"])
                trial = study.ask()
                suggested(trial, one["params"])
                for step, value in one["reports"].items():
                    trial.report(value, step)
                for name, value in one["attributes"].items():
                    trial.set_user_attr(name, value)
                if one["state"] is not None:
                    value = one["value"] if one["state"] is TrialState.COMPLETE else None
                    study.tell(trial, value, one["state"])
            expected = [text(trial) for trial in as_optuna_reads(url, study.study_name)]
            assert [text(trial) for trial in reader.get_trials()] == expected
            found = [storage.get_trial(trial._trial_id) for trial in reader.get_trials(deepcopy=False)]
            assert [text(trial) for trial in found] == expected
        for state in TrialState:
            few = storage.get_all_trials(reader._study_id, states=(state,))
            assert [text(t) for t in few] == [text(t) for t in reader.get_trials(states=(state,))]


@pytest.fixture
def read(study: Study) -> Iterator[list[str]]:
    """The statements that read parameters' rows."""
    statements: list[str] = []
    engine = backend(study).engine

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "distribution_json" in statement and statement.startswith("SELECT"):
            statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def backend(study: Study) -> StudyStorage:
    found: Any = study._storage
    assert isinstance(found._backend, StudyStorage)
    return found._backend


def test_parameters_of_a_running_trial_are_read_once(study: Study, url: str, read: list[str]) -> None:
    other = optuna.load_study(study_name="rows", storage=open_storage(url))
    params: SOME = {"z.choice": 8, "a.choice": 3, "rate": 0.5, "kind": None}
    trials = [other.ask() for _ in range(3)]
    for trial in trials:
        set_params(trial, params, SPACE)
    assert [trial.params for trial in study.get_trials()] == [params] * 3 and read
    read.clear()
    trials[0].set_user_attr("slot", 7)
    trials[1].report(0.25, step=1)
    assert study.get_trials()[0].user_attrs == {"slot": 7} and study.get_trials()[1].intermediate_values == {1: 0.25}
    other.tell(trials[2], 0.75)
    assert study.get_trials()[2].value == 0.75 and [trial.params for trial in study.get_trials()] == [params] * 3
    assert not read


def test_parameters_that_come_one_by_one_are_all_seen(study: Study, url: str) -> None:
    other = optuna.load_study(study_name="rows", storage=open_storage(url))
    trial, params = other.ask(), {}
    for name, value in {"z.choice": 8, "rate": 0.5, "a.choice": 3}.items():
        suggested(trial, {name: value})
        params[name] = value
        assert study.get_trials()[0].params == params
        assert list(study.get_trials()[0].distributions.values()) == [SPACE[each] for each in params]


def test_whoever_changes_what_was_read_changes_no_other(study: Study) -> None:
    trial = study.ask()
    set_params(trial, {"a.choice": 3}, SPACE)
    study.get_trials()[0].params["a.choice"] = 9
    assert study.get_trials()[0].params == {"a.choice": 3}


def test_what_has_ended_is_forgotten(study: Study) -> None:
    for _ in range(3):
        trial = study.ask()
        set_params(trial, {"a.choice": 3}, SPACE)
        study.get_trials()
        study.tell(trial, 1.0)
        study.get_trials()
    assert not backend(study)._rows._known


def test_optuna_refuses_a_study_and_a_trial_that_are_not_there(study: Study) -> None:
    with pytest.raises(KeyError):
        backend(study).get_all_trials(10_000)
    with pytest.raises(KeyError):
        backend(study).get_trial(10_000)
