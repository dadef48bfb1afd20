"""Optuna's storage in a database that may be away for a while: each operation waits for it.

Optuna's own raises. An operation whose answer was lost is done again, so it may have been done twice: a trial too many
is created, which belongs to no worker and is freed as a dead one's; an attribute is set twice; and a trial's second end
is refused with `UpdateFinishedTrialError`, so that whoever ends a trial has to look at it.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

from optuna.storages import RDBStorage

from .patience import Patience, why_away
from .server import Server
from .study_storage import StudyStorage

OPERATIONS = (
    "create_new_study",
    "delete_study",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_all_studies",
    "_create_new_trial",
    "_set_trial_param",
    "get_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial_user_attrs",
    "get_trial_system_attrs",
    "get_trial_id_from_study_id_trial_number",
    "get_trial",
    "_get_trials",
    "_get_best_trial_id",
    "set_trial_params",
    "set_trial_user_attrs",
)
"""What `StudyStorage` and the cache that Optuna puts before it do to a database, each in one transaction."""


class PatientStorage(StudyStorage):
    """The studies of a database on a server; the first connection is not waited for."""

    def __init__(self, url: str, server: Server, patience: Patience) -> None:
        super().__init__(url, engine_kwargs={**server.engine, "connect_args": server.connect_with()})
        self._patience = patience


def _is_news(record: logging.LogRecord) -> bool:
    """Return False of what Optuna logs while it meets a database that is away: `Patience` says it in one sentence."""
    error = sys.exc_info()[1]
    return error is None or why_away(error) is None


logging.getLogger(RDBStorage.__module__).addFilter(_is_news)


def _patient(operation: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def call(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return self._patience(lambda: operation(self, *args, **kwargs))

    return call


for _name in OPERATIONS:
    setattr(PatientStorage, _name, _patient(getattr(StudyStorage, _name)))
