"""Opening the study of a folder, to look at what it has found; and the network that the folder describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.study import Study

from ...objectives.errors import RankfrontError
from ...objectives.export.architecture import read_about
from ...objectives.given import folder_path
from ..storage.database import database_of
from ..storage.dense import is_noted
from ..storage.errors import storage_errors
from ..storage.folder import Folder
from ..storage.studies import load_existing

if TYPE_CHECKING:
    from torch import nn


def stored_study(path: object, storage: str | None) -> tuple[Study, Folder]:
    """Return the study of a folder, and the folder.

    Raises:
        RankfrontError: there is no study, or it has not got beyond its first trial.
    """
    folder = Folder(folder_path("path", path))
    url = database_of(folder.path, storage)
    folder.check_holds_study(storage)
    with storage_errors(url):
        study = load_existing(url, folder.study_name())
        if not is_noted(study):
            raise RankfrontError(f"{folder.path} must hold trials, but its study has only just begun")
        return study, folder


def described_network(folder: Folder) -> nn.Module:
    """Return a network of the dense architecture, as a Hugging Face model's folder describes it.

    Raises:
        RankfrontError: it describes none.
    """
    if not (about := read_about(folder.architecture)):
        raise RankfrontError("best and model() need the dense architecture: Result.open(folder, model=MyNet())")
    from ...objectives.export.pretrained import built

    return built(folder.architecture, about)
