"""From what the user typed to a task: a ready study's name, or a Python file of their own.

Either offers ``study``: a `Task`, or a function that returns one. The function may take any of the
keywords ``data`` (a Path or None), ``weights`` (a Path), ``image_size``, ``seed``, ``device`` and ``progress``.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ...objectives.errors import RankfrontError
from ...objectives.task import Task

GROUP = "rankfront.studies"


def ready_studies() -> dict[str, EntryPoint]:
    """Return the ready studies by name: ours, and those that installed packages register."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def load_task(study: str, asked: Mapping[str, Any] | None = None, **offered: Any) -> Task:
    """Return the task of a ready study or of a user's file.

    Args:
        study: a name, or the path of a Python file (which is run).
        asked: what the user gave for the study's function; it must take those that are not None.
        offered: more keywords for it; it gets those it names.

    Raises:
        RankfrontError: there is no such study, it does not take what was asked, or the file raises or has no
            ``study``.
    """
    offered |= {name: value for name, value in (asked or {}).items() if value is not None}
    ready = ready_studies()
    if study in ready:
        return _task(study, ready[study].load(), offered, asked or {})
    path = Path(study)
    if path.suffix != ".py" or not path.is_file():
        what = "there is no such file" if path.suffix == ".py" else "it is neither"
        raise RankfrontError(
            f"STUDY must be one of {', '.join(ready)} or a Python file, but got {study!r:.200}: {what}"
        )
    task = _task(study, _study_in(path), offered, asked or {})
    return task if task.name != "model" else replace(task, name=path.stem)


def _study_in(path: Path) -> Task | Callable[..., object]:
    """Run a user's file as Python would, its folder importable, and return its ``study``."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except RankfrontError:
        raise
    except Exception as error:
        raise RankfrontError(f"{path} must run without an error, but: {type(error).__name__}: {error}") from error
    found = getattr(module, "study", None)
    if found is None:
        raise RankfrontError(f"{path} must define study, a rankfront.Task or a function that returns one")
    return found


def _task(name: str, study: Task | Callable[..., object], offered: dict[str, Any], asked: Mapping[str, Any]) -> Task:
    wanted = inspect.signature(study).parameters if callable(study) else {}
    for option, value in asked.items():
        if value is not None and option not in wanted:
            raise RankfrontError(f"study {name} takes no --{option.replace('_', '-')}")
    if isinstance(study, Task):
        return study
    if not callable(study):
        raise RankfrontError(
            f"study in {name} must be a rankfront.Task or a function that returns one, but is {type(study).__name__}"
        )
    try:
        task = study(**{key: value for key, value in offered.items() if key in wanted})
    except RankfrontError:
        raise
    except Exception as error:
        raise RankfrontError(f"study {name} failed: {type(error).__name__}: {error}") from error
    if not isinstance(task, Task):
        raise RankfrontError(f"study {name} must return a rankfront.Task, but returned {type(task).__name__}")
    return task
