"""Optuna's storage in a database, for trials of many layers and studies of thousands of trials.

Optuna stores each parameter and each attribute of a trial in a transaction of its own, and keeps names and
distributions once for each trial that it has read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialModel, TrialParamModel, TrialUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, Trial


class StudyStorage(RDBStorage):
    """Stores what belongs together in one transaction, and shares what is the same in all trials."""

    def __init__(self, url: str, engine_kwargs: dict[str, Any] | None = None) -> None:
        self._shared: dict[BaseDistribution, BaseDistribution] = {}
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

    def _build_frozen_trial_from_trial_model(self, trial: TrialModel) -> FrozenTrial:
        found = super()._build_frozen_trial_from_trial_model(trial)
        found.params = {sys.intern(name): value for name, value in found.params.items()}
        found.distributions = {
            sys.intern(name): self._shared.setdefault(each, each) for name, each in found.distributions.items()
        }
        found.user_attrs = _with_shared_names(found.user_attrs)
        return found


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


def _with_shared_names(value: Any) -> Any:
    """Return plain data in which names and words that are equal are one object."""
    if isinstance(value, dict):
        return {sys.intern(name): _with_shared_names(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_shared_names(each) for each in value]
    return sys.intern(value) if type(value) is str and len(value) < 32 else value
