"""What a folder already holds: the study that a run would go on with, before anything is created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna

from .database import database_of, has_server, open_storage
from .errors import shown_url, storage_errors
from .folder import Folder
from .identity import IDENTITY, identity_in
from .locks import locks_of
from .rewrites import layers_of, reasons_in, rewrites_in
from .slots import next_slot
from .source import Source, source_of

if TYPE_CHECKING:
    from ...objectives.model.plain.form import Rewrites

TRIALS = "trials"
"""The study's user attribute with its total of trials, as it was last asked for."""


@dataclass(frozen=True)
class ExistingStudy:
    """A stored study's own options."""

    identity: Mapping[str, Any]
    trials: int | None
    source: Source | None
    where: str
    """The folder or database it lies in, for messages."""
    next_slot: int = 0
    """The first of its trials that is still to be run."""
    rewrites: Rewrites | None = None
    """What was rewritten in its dense model, where it says so."""
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    """Why other modules of it were not, by path."""
    layers: tuple[str, ...] = ()
    """The names of its layers, once it has a trial."""


def read_stored(folder: Folder, storage: str | None, name: str | None = None) -> ExistingStudy | None:
    """Return the options of the study that lies in a folder; None where there is none yet. Nothing is written.

    Args:
        folder: the study's; it need not be there where the database has locks of its own.
        storage: the database's URL where it is not the folder's own.
        name: the study's, where the folder does not say it.

    Raises:
        RankfrontError: the database cannot be read, or the folder's study lies in another database.
    """
    folder.check_storage(storage)
    if storage is None and not folder.database.exists():
        return None
    if not folder.path.exists() and not has_server(storage):
        return None
    name = folder.study_name() or name
    url = database_of(folder.path, storage)
    # Under the study lock: another worker may be creating the database's tables (a server's have their own lock).
    with storage_errors(url), locks_of(folder, storage, name or "").study():
        opened = open_storage(url)
        names = optuna.get_all_study_names(opened)
        if name is None and len(names) == 1:
            name = names[0]
        if name not in names:
            return None
        study = optuna.load_study(study_name=name, storage=opened)
        known = study.user_attrs
        if not isinstance(known.get(IDENTITY), dict):
            return None
        return ExistingStudy(
            identity_in(study),
            known.get(TRIALS),
            source_of(study, folder),
            shown_url(url),
            next_slot(study),
            rewrites_in(study),
            reasons_in(study),
            layers_of(study),
        )
