"""Reads trials from the tables of Optuna's database.

Optuna makes an object of every row and reads the JSON of every parameter's distribution, twice; and before each look at
a study it reads all running trials again. With 64 workers and 60 layers that is 0.1 s a look, and a worker looks five
times when it is its turn.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb.models import (
    TrialIntermediateValueModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import FrozenTrial
from sqlalchemy import func, select
from sqlalchemy.orm import Session

AT_ONCE = 500
"""Trials whose rows are selected at once: databases limit how many values a statement has."""

Params = tuple[dict[str, Any], dict[str, BaseDistribution]]


class TrialRows:
    """Reads trials; what is the same in many of them is one object, and parameters of a running trial are read once."""

    def __init__(self) -> None:
        self._distributions: dict[str, BaseDistribution] = {}
        self._started: dict[int, Params] = {}
        """The parameters of trials that have not ended, by their ids."""

    def trials(self, session: Session, models: Sequence[Any]) -> Iterator[FrozenTrial]:
        """Yield trials, in the order of their Optuna `TrialModel`s."""
        for start in range(0, len(models), AT_ONCE):
            yield from self._some(session, models[start : start + AT_ONCE])

    def _some(self, session: Session, models: Sequence[Any]) -> Iterator[FrozenTrial]:
        ids: list[int] = [model.trial_id for model in models]
        params = self._params(session, ids)
        values: defaultdict[int, dict[int, float]] = defaultdict(dict)
        for id_, place, value, kind in _rows(session, TrialValueModel, ids, "objective", "value", "value_type"):
            values[id_][place] = TrialValueModel.stored_repr_to_value(value, kind)
        steps: defaultdict[int, dict[int, float]] = defaultdict(dict)
        columns = "step", "intermediate_value", "intermediate_value_type"
        for id_, step, value, kind in _rows(session, TrialIntermediateValueModel, ids, *columns):
            steps[id_][step] = TrialIntermediateValueModel.stored_repr_to_intermediate_value(value, kind)
        user = _attributes(session, TrialUserAttributeModel, ids)
        system = _attributes(session, TrialSystemAttributeModel, ids)
        for model, id_ in zip(models, ids, strict=True):
            given, distributions = params.get(id_, ({}, {}))
            if model.state.is_finished():
                self._started.pop(id_, None)
            elif given:
                self._started[id_] = given, distributions
            found = values.get(id_)
            yield FrozenTrial(
                number=model.number,
                state=model.state,
                value=None,
                values=[found[place] for place in sorted(found)] if found else None,
                datetime_start=model.datetime_start,
                datetime_complete=model.datetime_complete,
                params=given,
                distributions=distributions,
                user_attrs=user.get(id_, {}),
                system_attrs=system.get(id_, {}),
                intermediate_values=steps.get(id_, {}),
                trial_id=id_,
            )

    def _params(self, session: Session, ids: Sequence[int]) -> dict[int, Params]:
        """Return parameters by the trials' ids; read are those of trials that have got more since they were read."""
        table = TrialParamModel
        found: dict[int, Params] = {}
        if known := [id_ for id_ in ids if id_ in self._started]:
            counted = select(table.trial_id, func.count()).where(table.trial_id.in_(known)).group_by(table.trial_id)
            unchanged = (id_ for id_, count in session.execute(counted) if count == len(self._started[id_][0]))
            found = {id_: self._started[id_] for id_ in unchanged}
        columns = "param_name", "param_value", "distribution_json"
        for id_, name, value, described in _rows(session, table, [id_ for id_ in ids if id_ not in found], *columns):
            if described not in self._distributions:
                self._distributions[described] = json_to_distribution(described)
            distribution = self._distributions[described]
            params, distributions = found.setdefault(id_, ({}, {}))
            name = sys.intern(name)
            params[name] = distribution.to_external_repr(value)
            distributions[name] = distribution
        return found


def _attributes(session: Session, table: type[Any], ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return attributes by the trials' ids."""
    found: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for id_, name, value in _rows(session, table, ids, "key", "value_json"):
        found[id_][sys.intern(name)] = _with_shared_names(json.loads(value))
    return found


def _rows(session: Session, table: type[Any], ids: Sequence[int], *columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows of some trials, first the trial's id, in the order in which they were stored."""
    if not ids:
        return
    (key,) = table.__table__.primary_key
    chosen = select(table.trial_id, *(getattr(table, name) for name in columns))
    yield from session.execute(chosen.where(table.trial_id.in_(ids)).order_by(key))


def _with_shared_names(value: Any) -> Any:
    """Return plain data in which names and words that are equal are one object."""
    if isinstance(value, dict):
        return {sys.intern(name): _with_shared_names(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_shared_names(each) for each in value]
    return sys.intern(value) if type(value) is str and len(value) < 32 else value
