"""The weights of a study's trials, and the files that are written of the best."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError
from ...objectives.export.architecture import ABOUT, KEY, copy_architecture
from ...objectives.export.plan_files import REWRITES, model_paths, read_model_files_at, save_plan
from ...objectives.io.files import digest, write_whole
from ..space.budget import Budget
from ..storage.rewrites import found_in, rewrites_in
from ..storage.trials import DIGEST, Scored

if TYPE_CHECKING:
    from torch import nn

    from .result import Result


def checked_weights(result: Result, trial: Scored) -> Path:
    """Return where the weights of a trial lie; raises `RankfrontError` where they are not those that were scored."""
    path = result.folder.weights(trial.trial)
    if not path.exists():
        raise RankfrontError(f"the weights of trial {trial.trial} must lie at {path}, but are not there")
    known = result.study.get_trials(deepcopy=False)[trial.trial].user_attrs.get(DIGEST)
    if known is not None and digest(path) != known:
        raise RankfrontError(
            f"{path} must be those that were scored as trial {trial.trial}, but has changed since: "
            "restore it from a copy, or begin again in another folder"
        )
    return path


def loaded(result: Result, trial: Scored, architecture: nn.Module) -> nn.Module:
    """Return the network of a trial: see `Result.load`."""
    from ...objectives.export.model_files import load_model

    weights, found = result.weights(trial), found_in(result.study, architecture)
    return load_model(architecture, trial.plan, weights, int8=result.int8, rewrites=found and found.rewrites).cpu()


def write_model(
    result: Result, to: Path, budget: str | Sequence[str] | Budget | None, *, finished: bool
) -> tuple[Path, Path]:
    """Write the best model's weights and plan: see `Result.export`."""
    weights, plan = model_paths(to)
    if finished and (done := result.finished_within(budget)) is not None:
        source, chosen, about = read_model_files_at(done.folder)
        about.pop("format")
        about.pop(KEY, None)
    else:
        best = result.best_trial(budget)
        source, chosen = result.weights(best), best.plan
        about = {**model_description(result, best), "sha256": digest(source)}
    write_whole(weights, lambda temporary: shutil.copyfile(source, temporary))
    beside = copy_architecture(result.folder.architecture, to) if weights.parent == to else {}
    save_plan(plan, chosen, {**about, **beside})
    return weights, plan


def export_model(
    result: Result, to: Path, budget: str | Sequence[str] | Budget | None, *, finished: bool
) -> tuple[tuple[Path, Path], str]:
    """Write the best model's files to a place of the user's, a Hugging Face model's so that transformers loads them.

    Returns:
        The two paths, and what is to be said of them.
    """
    paths = write_model(result, to, budget, finished=finished)
    if paths[0].parent != to or not (result.folder.architecture / ABOUT).exists():
        return paths, ""
    from ...objectives.export.modelling import add_modelling

    return paths, add_modelling(to)


def model_description(result: Result, trial: Scored) -> dict[str, Any]:
    """Return what a trial's ``plan.json`` says besides its plan and weights."""
    about = {
        "study": result.study.study_name,
        "trial": trial.trial,
        "int8": result.int8,
        "metrics": {result.scale.name: trial.score, **trial.metrics},
        "dense": {result.scale.name: result.dense.score, **result.dense.metrics},
    }
    rewrites = rewrites_in(result.study)
    return about if rewrites is None else {**about, REWRITES: rewrites}
