"""What a model folder holds beside weights and plan: the architecture's own files, and small ones such as a tokenizer.

A study keeps them in its folder when it begins, and copies them to every model that it writes. Nothing here imports
torch. `pretrained` makes the files of a Hugging Face model, and builds the network from them.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ..errors import RankfrontError
from ..io.files import digest, read_json, write_json, write_whole

LARGEST_FILES = 2**26
"""Bytes of a task's ``files`` together: they are copied to every model of a study."""

KEY = "transformers"
"""The entry of ``plan.json`` (and of `ABOUT`) that names the class of a Hugging Face model."""

CONFIG, GENERATION = "config.json", "generation_config.json"
ABOUT = "architecture.json"
"""In a study's folder what becomes an entry of every ``plan.json``."""

CODE = "modeling_rankfront.py"
"""What makes the compressed model for ``transformers``: see `modelling`."""

OWN = frozenset({CONFIG, GENERATION, ABOUT, CODE, "model.safetensors", "plan.json", "checkpoint.safetensors"})
"""Names of files that are written by us."""


def checked_files(files: Iterable[str | Path]) -> tuple[Path, ...]:
    """Return the paths of a task's ``files``.

    Raises:
        RankfrontError: one is no file, has the name of one of a model's own, or they are too large.
    """
    paths = tuple(Path(file) for file in ([files] if isinstance(files, (str, Path)) else files))
    for path in paths:
        if not path.is_file():
            raise RankfrontError(f"files must be files to copy beside the model, but {path} is none")
        if path.name in OWN or [other.name for other in paths].count(path.name) > 1:
            raise RankfrontError(f"files must have names of their own in a model's folder, but got {path.name!r}")
    if (size := sum(path.stat().st_size for path in paths)) > LARGEST_FILES:
        raise RankfrontError(f"files must have {LARGEST_FILES:,} bytes or fewer together, but have {size:,}")
    return paths


def write_architecture(folder: Path, description: dict[str, Any] | None, files: Collection[Path]) -> None:
    """Write what every model of a study is to have in its folder; nothing where there is nothing.

    Args:
        folder: of the study, for this alone; files that were there before and are not among these are removed.
        description: what `pretrained.description` returned, None for another model.
        files: of the task.
    """
    written = {file.name for file in files}
    for file in files:
        write_whole(folder / file.name, lambda temporary, file=file: shutil.copyfile(file, temporary))
    if description is not None:
        about = dict(description)
        parts = {CONFIG: about.pop("config"), GENERATION: about.pop("generation_config", None)}
        for name, part in parts.items():
            if part is not None:
                write_json(folder / name, part)
                written.add(name)
        write_json(folder / ABOUT, {KEY: {**about, "config_sha256": digest(folder / CONFIG)}})
        written.add(ABOUT)
    for path in folder.glob("*"):
        if path.is_file() and path.name not in written and not path.name.startswith("."):
            path.unlink(missing_ok=True)


def copy_architecture(source: Path, target: Path) -> dict[str, Any]:
    """Copy what `write_architecture` wrote into a model's folder; return the entries of its ``plan.json``.

    Both are empty where the study keeps nothing.
    """
    if not source.is_dir():
        return {}
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name != ABOUT and not path.name.startswith("."):
            write_whole(target / path.name, lambda temporary, path=path: shutil.copyfile(path, temporary))
    return read_about(source)


def read_about(source: Path) -> dict[str, Any]:
    """Return the entries of ``plan.json`` that a study keeps; empty where it keeps none."""
    return read_json(source / ABOUT) if (source / ABOUT).exists() else {}


def check_config(folder: Path, about: dict[str, Any]) -> None:
    """Raise `RankfrontError` where a model's ``config.json`` is not the one its plan was written with."""
    known = about.get(KEY)
    if isinstance(known, dict) and "config_sha256" in known:
        path = folder / CONFIG
        if path.exists() and digest(path) != known["config_sha256"]:
            raise RankfrontError(f"{path} must be the file that the plan was written with, but is another")
