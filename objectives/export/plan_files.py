"""Paths of a model's files, and its ``plan.json``: the plan, and the study, trial and metrics of the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RankfrontError
from ..io.files import digest, read_json, write_json
from ..plan import Plan
from .architecture import check_config

if TYPE_CHECKING:
    from ..model.plain.form import Rewrites

FORMAT = 1

REWRITES = "rewrites"
"""The entry with what was rewritten in the dense model; older versions wrote none."""


def save_plan(path: Path, plan: Plan, about: Mapping[str, Any]) -> None:
    """Write a plan, and entries on its model: study, trial, metrics."""
    write_json(path, {"format": FORMAT, **about, "plan": plan.to_json()})


def read_plan(path: Path) -> tuple[Plan, dict[str, Any]]:
    """Return the plan and the other entries that `save_plan` wrote.

    Raises:
        RankfrontError: the file is missing or damaged, or has another format.
    """
    data = read_json(path)
    if data.get("format") != FORMAT:
        raise RankfrontError(f"{path} must have format {FORMAT}, but has {data.get('format')!r}")
    return Plan.from_json(data.pop("plan", None)), data


def rewrites_of(about: Mapping[str, Any]) -> Rewrites | None:
    """Return what was rewritten in the dense model, from a plan file's entries; None where an older version wrote it.

    Raises:
        RankfrontError: the entry is not an object of objects.
    """
    known = about.get(REWRITES)
    if known is None:
        return None
    if not isinstance(known, dict) or not all(isinstance(rewrite, dict) for rewrite in known.values()):
        raise RankfrontError(f"a plan file's {REWRITES} must be an object of objects, but got {known!r:.80}")
    return known


def model_paths(path: Path) -> tuple[Path, Path]:
    """Return the paths of a model's weights and plan, given a ``.safetensors`` file or a folder."""
    if path.suffix == ".safetensors":
        return path, path.with_suffix(".plan.json")
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt", ".onnx"):
        raise RankfrontError(f"a model's files must be NAME.safetensors or a folder, but got {path.name!r:.60}")
    return path / "model.safetensors", path / "plan.json"


def model_folders(path: Path) -> list[Path]:
    """Return the folders that contain a model's plan: ``path`` itself and folders in it, in order of names."""
    if not path.is_dir():
        return []
    inside = sorted(part for part in path.iterdir() if part.is_dir())
    return [folder for folder in (path, *inside) if model_paths(folder)[1].exists()]


def read_model_files(path: Path) -> tuple[Path, Plan, dict[str, Any]]:
    """Return the path of a model's weights, its plan, and the plan file's other entries.

    Args:
        path: a ``.safetensors`` file; or a folder with a model, or with exactly one folder with a model inside.

    Raises:
        RankfrontError: there is no model or more than one, or the plan was written for other weights.
    """
    if len(found := model_folders(path)) > 1:
        names = ", ".join(folder.name for folder in found)
        raise RankfrontError(f"{path} must hold one model, but holds {len(found)}: {names}; name one of these folders")
    return read_model_files_at(found[0] if found else path)


def read_model_files_at(path: Path) -> tuple[Path, Plan, dict[str, Any]]:
    """Return the same of the model that lies exactly here, whatever other models lie in folders inside.

    Raises:
        RankfrontError: there is no model, or the weights are others than the plan's.
    """
    weights, plan_file = model_paths(path)
    plan, about = read_plan(plan_file)
    if "sha256" in about and digest(weights) != about["sha256"]:
        raise RankfrontError(f"{weights} must be the file that {plan_file.name} was written for, but is another")
    check_config(weights.parent, about)
    return weights, plan, about
