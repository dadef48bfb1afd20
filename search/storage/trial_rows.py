"""Reads trials from the tables of Optuna's database.

Optuna makes an object of every row and reads the JSON of every parameter's distribution, twice; and before each look at
a study it reads all running trials again. With 64 workers and 60 layers that is 0.1 s a look, and a worker looks five
times when it is its turn.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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


@dataclass
class Known:
    """What is known of a trial that has not ended."""

    params: Params = field(default_factory=lambda: ({}, {}))
    attributes: dict[tuple[type[Any], str], tuple[str, Any]] = field(default_factory=dict)
    """Table and name → the JSON that was read, and what it says."""


class TrialRows:
    """Reads trials; what is the same in many of them is one object.

    Of a trial that has not ended the parameters are read once, and the JSON of attributes where it has changed.
    """

    def __init__(self) -> None:
        self._distributions: dict[str, BaseDistribution] = {}
        self._known: dict[int, Known] = {}
        """By the trial's id."""
        self._lock = threading.Lock()

    def trials(self, session: Session, models: Sequence[Any]) -> list[FrozenTrial]:
        """Return trials, in the order of their Optuna `TrialModel`s."""
        with self._lock:
            parts = (models[start : start + AT_ONCE] for start in range(0, len(models), AT_ONCE))
            return [trial for part in parts for trial in self._some(session, part)]

    def _some(self, session: Session, models: Sequence[Any]) -> Iterator[FrozenTrial]:
        ids: list[int] = [model.trial_id for model in models]
        for id_ in ids:
            self._known.setdefault(id_, Known())
        self._read_params(session, ids)
        values: defaultdict[int, dict[int, float]] = defaultdict(dict)
        for id_, place, value, kind in _rows(session, TrialValueModel, ids, "objective", "value", "value_type"):
            values[id_][place] = TrialValueModel.stored_repr_to_value(value, kind)
        steps: defaultdict[int, dict[int, float]] = defaultdict(dict)
        columns = "step", "intermediate_value", "intermediate_value_type"
        for id_, step, value, kind in _rows(session, TrialIntermediateValueModel, ids, *columns):
            steps[id_][step] = TrialIntermediateValueModel.stored_repr_to_intermediate_value(value, kind)
        user = self._attributes(session, TrialUserAttributeModel, ids)
        system = self._attributes(session, TrialSystemAttributeModel, ids)
        for model, id_ in zip(models, ids, strict=True):
            params, distributions = self._known[id_].params
            if model.state.is_finished():
                del self._known[id_]
            found = values.get(id_)
            yield FrozenTrial(
                number=model.number,
                state=model.state,
                value=None,
                values=[found[place] for place in sorted(found)] if found else None,
                datetime_start=model.datetime_start,
                datetime_complete=model.datetime_complete,
                params=params,
                distributions=distributions,
                user_attrs=user[id_],
                system_attrs=system[id_],
                intermediate_values=steps.get(id_, {}),
                trial_id=id_,
            )

    def _read_params(self, session: Session, ids: Sequence[int]) -> None:
        """Read the parameters of trials that have others than are known."""
        changed, table = set(ids), TrialParamModel
        if started := [id_ for id_ in ids if self._known[id_].params[0]]:
            counted = select(table.trial_id, func.count()).where(table.trial_id.in_(started)).group_by(table.trial_id)
            changed -= {id_ for id_, count in session.execute(counted) if count == len(self._known[id_].params[0])}
        for id_ in changed:
            self._known[id_].params = {}, {}
        columns = "param_name", "param_value", "distribution_json"
        for id_, name, value, described in _rows(session, table, sorted(changed), *columns):
            if described not in self._distributions:
                self._distributions[described] = json_to_distribution(described)
            distribution = self._distributions[described]
            params, distributions = self._known[id_].params
            name = sys.intern(name)
            params[name] = distribution.to_external_repr(value)
            distributions[name] = distribution

    def _attributes(self, session: Session, table: type[Any], ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return attributes by the trials' ids."""
        found: dict[int, dict[str, Any]] = {id_: {} for id_ in ids}
        for id_, name, text in _rows(session, table, ids, "key", "value_json"):
            known = self._known[id_].attributes
            if known.get((table, name), ("", None))[0] != text:
                known[table, name] = text, _with_shared_names(json.loads(text))
            found[id_][sys.intern(name)] = known[table, name][1]
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
