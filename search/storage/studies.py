"""Studies in a database: created, gone on with, or found again."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection

from ...objectives.errors import RankfrontError
from ...objectives.metrics.scale import Scale
from .database import open_storage
from .errors import shown_url
from .identity import IDENTITY, Caller, check_same, identity_in, keep_identity


def create_or_resume(
    storage: RDBStorage,
    name: str,
    scale: Scale,
    costs: Sequence[str],
    identity: dict[str, Any],
    where: str,
    caller: Caller,
    only_one: bool,
) -> Study:
    """Return the study of that name: the stored one if it is of the same identity, else a new one.

    To be called under the study lock.

    Args:
        storage: the database.
        name: the study's.
        scale: how the score reads: the first objective.
        costs: the metrics that are objectives beside it, to be minimised.
        identity: what the study is known by.
        where: the database, for messages.
        caller: who asks for it.
        only_one: whether no other study may be stored there.

    Raises:
        RankfrontError: the stored study belongs to another model, other data or other settings.
    """
    known = optuna.get_all_study_names(storage)
    if name not in known:
        if only_one:
            check_only_study(known, name, where, caller)
        study = _created(storage, name, scale, costs)
        keep_identity(study, identity)
        return study
    study = optuna.load_study(study_name=name, storage=storage)
    if IDENTITY not in study.user_attrs and not study.get_trials(deepcopy=False):
        keep_identity(study, identity)  # its creation was interrupted
    check_same(identity_in(study), identity, where, caller)
    keep_identity(study, identity)
    return study


def check_only_study(known: Sequence[str], name: str, where: str, caller: Caller) -> None:
    """Refuse a second study in one place; raises `RankfrontError` naming the first."""
    if known and name not in known:
        raise RankfrontError(f"{where} holds study {known[0]!r}, not {name!r}; give {caller.another}")


def load_existing(url: str, name: str | None) -> Study:
    """Return a stored study, by name or as the only one there.

    Raises:
        RankfrontError: there is none, or the choice is not clear.
    """
    storage = open_storage(url)
    names = optuna.get_all_study_names(storage)
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        wanted = "one study, or the one wanted must be named" if name is None else f"study {name!r}"
        raise RankfrontError(f"storage {shown_url(url)} must hold {wanted}, but holds {', '.join(names) or 'none'}")
    study = optuna.load_study(study_name=name, storage=storage)
    identity_in(study)
    return study


def _created(storage: RDBStorage, name: str, scale: Scale, costs: Sequence[str]) -> Study:
    first = StudyDirection.MAXIMIZE if scale.higher_is_better else StudyDirection.MINIMIZE
    directions = [first, *(StudyDirection.MINIMIZE for _ in costs)]
    study = optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([scale.name, *costs])  # Optuna's own plots then say what they show
    return study
