"""From what the user typed to a task: a ready study's name, or a Python file of their own.

Either offers ``study``: a `Task`, or a function that returns one. The function may take any of the
keywords ``data`` (a Path or None), ``weights`` and ``text`` (a Path), ``image_size``, ``seed``, ``device`` and
``progress``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.boundary import place, sentence
from ...objectives.described import did_you_mean
from ...objectives.errors import RankfrontError
from ..storage.source import Source
from .ready import content_of, defined, ready_studies

if TYPE_CHECKING:
    from ...objectives.task import Task

PATHS = ("data", "weights", "text")
"""The options of a study that are paths."""


FIELDS = ("sensitivity", "refit", "fold", "int8")
"""The options that are a task's own fields, written as it takes them."""

OF_TASKS = ("kinds", *FIELDS)
"""The options that any study takes."""


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
    check_exists(study)
    source = Source(study=study) if study in ready_studies() else Source.of_file(Path(study))
    with importable(source):
        return _task(source, asked or {}, offered)


def load_source(source: Source, device: str, progress: object) -> Task:
    """Return the task that a source says; to be used in `importable`.

    Raises:
        RankfrontError: as `load_task`, and where the file is not the one that the source knows.
    """
    given: dict[str, Any] = {name: Path(v) if name in PATHS else v for name, v in source.options.items()}
    kinds = given.pop("kinds", None)
    own = {name: value for name in FIELDS if (value := given.pop(name, None)) is not None}
    offered: dict[str, Any] = {"seed": source.seed, "device": device, "progress": progress}
    if source.study in ready_studies():  # whose data lies in ./data, seen from where the run was started
        offered["data"] = Path(source.folder) / "data"
    task = _task(source, given, offered)
    if kinds is not None:
        own["kinds"] = tuple(kinds.split(","))
    return replace(task, **own) if own else task


@contextlib.contextmanager
def importable(source: Source) -> Iterator[None]:
    """Let a user's file import what lies beside it, and be imported by its name; both end with the context.

    A task that is used in a process of its own (a `DataLoader` with workers) must be used inside.
    """
    path_before = list(sys.path)
    name = Path(source.study).stem
    before = sys.modules.get(name)
    if source.study not in ready_studies():
        sys.path.insert(0, str(Path(source.study).parent))
    try:
        yield
    finally:
        sys.path[:] = path_before
        if before is None and _file_of(sys.modules.get(name)) == source.study:
            del sys.modules[name]


def check_exists(study: str) -> None:
    """Raise `RankfrontError` for what is neither a ready study's name nor a Python file."""
    path = Path(study)
    if study in ready_studies() or (path.suffix == ".py" and path.is_file()):
        return
    meant = did_you_mean(study, ready_studies()) or ": it is neither"
    what = ": there is no such file" if path.suffix == ".py" else meant
    raise RankfrontError(
        f"STUDY must be one of {', '.join(ready_studies())} or a Python file, but got {study!r:.200}{what}"
    )


def check_takes(source: Source) -> None:
    """Refuse options that a study does not take, where its file shows which it takes: nothing is run for it.

    Raises:
        RankfrontError: naming the option; or the file is not the one that the source knows.
    """
    ready = ready_studies()
    if source.study in ready:
        function = defined(content_of(ready[source.study]), ready[source.study].attr)
    else:
        function = defined(source.content(), "study")
    if function is not None and function.args.kwarg is None:
        wanted = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
        _check_taken(source.study, source.options.keys() - set(OF_TASKS), wanted)


def _task(source: Source, asked: Mapping[str, Any], offered: Mapping[str, Any]) -> Task:
    from ...objectives.task import Task

    name = source.study
    ready = ready_studies()
    study = ready[name].load() if name in ready else _study_in(Path(name), source.content())
    wanted = inspect.signature(study).parameters if callable(study) else {}
    given = {option: value for option, value in asked.items() if value is not None}
    _check_taken(name, given, wanted)
    if not isinstance(study, Task):
        if not callable(study):
            raise RankfrontError(
                f"study in {name} must be a rankfront.Task or a function that returns one, "
                f"but is {type(study).__name__}"
            )
        study = _called(study, name, {key: value for key, value in {**offered, **given}.items() if key in wanted})
    if not isinstance(study, Task):
        raise RankfrontError(f"study {name} must return a rankfront.Task, but returned {type(study).__name__}")
    return replace(study, name=Path(name).stem) if study.name == "model" and name not in ready else study


def _check_taken(name: str, given: Iterable[str], wanted: Container[str]) -> None:
    for option in given:
        if option not in wanted:
            raise RankfrontError(f"study {name} takes no --{option.replace('_', '-')}")


def _called(study: Callable[..., object], name: str, keywords: Mapping[str, Any]) -> object:
    try:
        return study(**keywords)
    except RankfrontError as error:
        raise _placed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _failed(f"study {name}", error) from error


def _failed(what: str, error: BaseException) -> RankfrontError:
    where = place(error)
    return RankfrontError(f"{what} must run without an error, but raised {sentence(error)}{where and f' ({where})'}")


def _placed(study: str, error: RankfrontError) -> RankfrontError:
    """Return an error with the line of the user's own file that led to it; one of a ready study as it is."""
    where = "" if study in ready_studies() else place(error)
    return RankfrontError(f"{error} ({where})") if where else error


def _study_in(path: Path, content: bytes) -> Task | Callable[..., object]:
    """Run a user's file as Python would, and return its ``study``.

    ``content`` is what is run: Python's own cache of compiled files is not looked at.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    if _file_of(sys.modules.get(path.stem)) in (None, str(path)):
        sys.modules[path.stem] = module
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except RankfrontError as error:
        raise _placed(str(path), error) from error
    except (Exception, SystemExit) as error:
        raise _failed(str(path), error) from error
    found = getattr(module, "study", None)
    if found is None:
        raise RankfrontError(f"{path} must define study, a rankfront.Task or a function that returns one")
    return found


def _file_of(module: object) -> str | None:
    """Return the file of a module, ``""`` for one without a file, None for no module."""
    return None if module is None else getattr(module, "__file__", None) or ""
