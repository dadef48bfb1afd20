"""Optuna's storage in a database, for trials of many layers and studies of thousands of trials.

Optuna stores each parameter and each attribute of a trial in a transaction of its own, and reads trials slowly (see
`trial_rows`).
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel, TrialModel, TrialParamModel, TrialUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import or_

from .trial_rows import TrialRows


class StudyStorage(RDBStorage):
    """Stores what belongs together in one transaction, and shares what is the same in all trials."""

    def __init__(self, url: str, engine_kwargs: dict[str, Any] | None = None) -> None:
        self._rows = TrialRows()
        super().__init__(url, engine_kwargs)

    def set_trial_params(
        self, trial_id: int, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
    ) -> None:
        """Store all parameters of a running trial that has none; a second time changes nothing."""
        with _create_scoped_session(self.scoped_session, True) as session:
            state: Any = TrialModel.find_or_raise_by_id(trial_id, session).state
            self.check_trial_is_updatable(trial_id, state)
            session.add_all(
                TrialParamModel(
                    trial_id=trial_id,
                    param_name=name,
                    param_value=distributions[name].to_internal_repr(value),
                    distribution_json=distribution_to_json(distributions[name]),
                )
                for name, value in params.items()
            )

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Store several attributes of a running trial."""
        with _create_scoped_session(self.scoped_session, True) as session:
            for name, value in attributes.items():
                self._set_trial_attr_without_commit(session, TrialUserAttributeModel, trial_id, name, value)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial; raises `KeyError` where there is none."""
        with _create_scoped_session(self.scoped_session) as session:
            (trial,) = self._rows.trials(session, [TrialModel.find_or_raise_by_id(trial_id, session)])
            return trial

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        with _create_scoped_session(self.scoped_session) as session:
            StudyModel.find_or_raise_by_id(study_id, session)
            query = session.query(TrialModel).where(TrialModel.study_id == study_id)
            if trial_id_greater_than > -1:
                newer = TrialModel.trial_id > trial_id_greater_than
                query = query.where(or_(TrialModel.trial_id.in_(included_trial_ids), newer))
            models: list[Any] = query.order_by(TrialModel.trial_id).all()
            return self._rows.trials(session, [m for m in models if states is None or m.state in states])


def set_params(trial: Trial, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> None:
    """Store all parameters of a trial, in one transaction where its storage can."""
    storage = getattr(trial.storage, "_backend", None)
    if isinstance(storage, StudyStorage):
        storage.set_trial_params(trial._trial_id, params, distributions)
        trial._cached_frozen_trial.params.update(params)
        trial._cached_frozen_trial.distributions.update(distributions)


def set_user_attrs(trial: Trial, attributes: Mapping[str, Any]) -> None:
    """Store several user attributes of a trial, in one transaction where its storage can."""
    storage = getattr(trial.storage, "_backend", None)
    if isinstance(storage, StudyStorage):
        storage.set_trial_user_attrs(trial._trial_id, attributes)
        trial._cached_frozen_trial.user_attrs.update(attributes)
    else:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
