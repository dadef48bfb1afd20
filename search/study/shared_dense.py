"""The dense model's weights among the files that machines without a common folder share.

The study's file makes the architecture on every machine. The weights that it gives there need not be those of the
study: a network that is trained anew on another machine has others. So a worker that joins takes the study's own. They
are known by the hash that the study knows its dense model by, and are safetensors: nothing of them is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...objectives.errors import RankfrontError
from ...objectives.export.model_files import save_weights
from ...objectives.identity import hashes_of
from ...objectives.identity_keys import ARCHITECTURE, WEIGHTS
from ...objectives.io.tensors import read_tensors
from ...objectives.objective import Objective
from ..storage.folder import Folder
from ..storage.remote_files import RemoteFiles


def dense_name(weights: str) -> str:
    """Return the name of the dense weights of that hash."""
    return f"dense/{weights}.safetensors"


def push_dense(files: RemoteFiles, folder: Folder, objective: Objective) -> None:
    """Upload the dense model's weights."""
    weights = str(objective.identity[WEIGHTS])
    path = folder.path / dense_name(weights)
    if dense_name(weights) not in files.names("dense"):
        if not path.exists():
            save_weights(path, objective.task.model)
        files.push(path, dense_name(weights))


def take_dense(files: RemoteFiles, folder: Folder, model: nn.Module, stored: Mapping[str, Any]) -> bool:
    """Give a model the study's dense weights, where it has others and is of the same architecture; return whether so.

    Args:
        files: where they are.
        folder: the study's, on this machine.
        model: is changed.
        stored: what the study is known by.

    Raises:
        RankfrontError: they cannot be fetched, or are others.
    """
    own, weights = hashes_of(model), stored.get(WEIGHTS)
    if own[WEIGHTS] == weights or own[ARCHITECTURE] != stored.get(ARCHITECTURE):
        return False  # a model of another architecture is refused when the study is opened
    if dense_name(str(weights)) not in files.names("dense"):
        return False  # of a study that an older version began
    path = folder.path / dense_name(str(weights))
    files.fetch(dense_name(str(weights)), path)
    state, _ = read_tensors(path)
    model.load_state_dict(state, strict=False)  # names of tied tensors beyond the first are not in the file
    if hashes_of(model)[WEIGHTS] != weights:
        path.unlink()
        raise RankfrontError(f"{path.name} must hold the study's dense weights, but holds others: it has changed")
    return True
