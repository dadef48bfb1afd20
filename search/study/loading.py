"""Loading the task of a study that is begun, gone on with, or looked at again.

An option that is not given is the stored study's own. A Python file is run only if the user names it in this command,
or if it has the hash of the file that was run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError
from ...objectives.kinds.registry import KINDS, kinds_named
from ..report.progress import Progress
from ..storage.folder import Folder
from ..storage.identity import Caller, check_settings, identity_in
from ..storage.source import Source, source_of
from .options import option
from .ready import ready_studies
from .settings import DEFAULT_SEED, Settings
from .study_file import check_exists, check_takes, importable, load_source

if TYPE_CHECKING:
    from optuna.study import Study

    from ...objectives.task import Task
    from ..storage.existing import ExistingStudy

REFITS = {"layer": True, "none": False}
"""What `Task.settings` makes of these."""


@dataclass(frozen=True, kw_only=True)
class Loading:
    """The options that a study's task is loaded with, checked; None is the stored study's own.

    Raises:
        RankfrontError: naming what, the rule and the value.
    """

    kinds: str | None = option(
        None,
        metavar="NAMES",
        help=f"Kinds of factorization to choose from: any of {','.join(KINDS)}.",
        choices=tuple(KINDS),
    )
    sensitivity: str | None = option(
        None,
        metavar="NAME",
        help="Which changes of the network's outputs layers' errors are measured by: outputs, fisher, auto (one of the "
        "two) or none (those of each layer's own output).",
        choices=("auto", "outputs", "fisher", "none"),
    )
    refit: str | None = option(
        None,
        metavar="HOW",
        help="What follows factorizing: layer (last factors are solved anew), block (then all factors of each block "
        "are trained towards what it gives in the dense network), network (then all factors towards its outputs) "
        "or none.",
        choices=("layer", "block", "network", "none"),
    )
    fold: bool | None = option(
        None, reader=bool, help="Fold weights that are computed from others: weight norm, spectral norm, pruning …"
    )
    int8: bool | None = option(None, reader=bool, help="Ship, and score, Linears as int8 (needs torchao).")
    data: Path | None = option(None, metavar="DIR", reader=Path, help="Where a ready study's data lies.")
    weights: Path | None = option(
        None, metavar="FILE", reader=Path, help="The dense model's weights, where the study takes some."
    )
    text: Path | None = option(
        None, metavar="FILE", reader=Path, help="A text of your own (UTF-8), where the study reads text."
    )
    image_size: int | None = option(None, metavar="PIXELS", reader=int, help="Of the images, where the study has some.")

    def __post_init__(self) -> None:
        """Check what can be checked without loading anything."""
        if self.kinds is not None:
            kinds_named(self.kinds.split(","))
        if self.refit is not None:
            from ...objectives.start import read_refit

            read_refit(self.refit)
        if self.sensitivity is not None:
            from ...objectives.calibration.sensitivity import check_sensitivity

            check_sensitivity(self.sensitivity)

    def given(self) -> dict[str, Any]:
        """Return what was given, as plain data; paths from the root."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: str(value.resolve()) if isinstance(value, Path) else value
            for name, value in values.items()
            if value is not None
        }

    def asked(self) -> dict[str, Any]:
        """Return what was given of what a study keeps, as its identity says it."""
        kinds = {} if self.kinds is None else {"kinds": [kind.name for kind in kinds_named(self.kinds.split(","))]}
        refit = {} if self.refit is None else {"refit": REFITS.get(self.refit, self.refit)}
        same = ("sensitivity", "fold", "int8")
        return kinds | refit | {name: value for name in same if (value := getattr(self, name)) is not None}


@contextlib.contextmanager
def begun(study: str, settings: Settings, loading: Loading, progress: Progress) -> Iterator[tuple[Task, Source]]:
    """Load the task for a run; in the context it can be used: see `importable`.

    Args:
        study: a ready study's name, or a Python file, which is run.
        settings: the run's options; what is not given is that of the study in its folder.
        loading: the options of the task; the same holds.
        progress: shows what is going on.

    Yields:
        The task, and how it was loaded.

    Raises:
        RankfrontError: there is no such study, or the folder holds one of other options.
    """
    check_exists(study)
    stored = _stored(settings, study if study in ready_studies() else Path(study).stem)
    if settings.out is not None:
        _check_options(stored, settings, loading, study)
    source = _source(study, settings, loading, stored)
    check_takes(source)
    settings.torch_device()
    if source.options.get("int8"):
        from ...objectives.export.int8 import check_installed

        check_installed()
    with importable(source):
        progress.say(f"loading {study} …")
        task = load_source(source, settings.device, progress)
        # Without --out the folder follows from the task's name, so only now it is known which study lies there.
        stored = _stored(settings, task.name)
        _check_options(stored, settings, loading, task.name)
        known = _source(study, settings, loading, stored)
        if known != source:
            task = load_source(known, settings.device, progress)
        yield task, known


@contextlib.contextmanager
def stored_task(study: Study, folder: Folder, named: str | None, device: str, progress: Progress) -> Iterator[Task]:
    """Load the task of a stored study again, as its run loaded it; in the context it can be used: see `importable`.

    Args:
        study: the stored study.
        folder: its folder.
        named: a ready study's name or a Python file to load instead of the study's own; it need not be the same file.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: shows what is going on.

    Raises:
        RankfrontError: the study does not say how its task was loaded, or its file is missing or has changed.
    """
    source = source_of(study, folder)
    if named is not None:
        check_exists(named)
        known = source or Source(study=named, folder=str(Path.cwd()), seed=int(identity_in(study).get("seed", 0)))
        source = replace(known, study=named, sha256=None)
        if named not in ready_studies():
            source = replace(Source.of_file(Path(named)), folder=known.folder, seed=known.seed, options=known.options)
    if source is None:
        raise RankfrontError(
            f"{folder.path} must hold a study begun by `rankfront run`, but it was begun in Python: --study FILE names "
            "a file that makes its task, or call rankfront.export, finish, verify or speed(task, folder, …) in Python"
        )
    check_takes(source)
    with importable(source):
        progress.say(f"loading {source.study} …")
        yield load_source(source, device, progress)


@contextlib.contextmanager
def joined_task(
    study: Study, folder: Folder, files: str | None, named: str | None, device: str, progress: Progress
) -> Iterator[Task]:
    """Load the task of a study that this process joins: see `stored_task`; with the study's own dense weights.

    Args:
        study: the stored study.
        folder: its folder on this machine.
        files: where machines without a common folder share files; None: in the folder.
        named: a ready study's name or a Python file to load instead of the study's own.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: shows what is going on.
    """
    with stored_task(study, folder, named, device, progress) as task:
        if files is not None:
            from ..storage.remote_files import RemoteFiles
            from .shared_dense import take_dense

            if take_dense(RemoteFiles(files, study.study_name), folder, task.model, identity_in(study)):
                progress.say("the dense model has the study's weights")
        yield task


def _stored(settings: Settings, name: str) -> ExistingStudy | None:
    from ..storage.existing import read_stored

    return read_stored(settings.folder(name), settings.storage, name)


def _check_options(stored: ExistingStudy | None, settings: Settings, loading: Loading, name: str) -> None:
    """Refuse options that are not the stored study's; raises `RankfrontError`."""
    if stored is not None:
        caller = Caller(settings.folder(name).path, from_command=True)
        check_settings(stored.identity, {**settings.asked(), **loading.asked()}, stored.where, caller)


def _source(study: str, settings: Settings, loading: Loading, stored: ExistingStudy | None) -> Source:
    """Return how the task of a run is to be loaded: options given, else those of the stored study."""
    own = None if stored is None else stored.source
    seed = DEFAULT_SEED if stored is None else int(stored.identity.get("seed", DEFAULT_SEED))
    known = {
        "folder": own.folder if own is not None and Path(own.folder).is_dir() else str(Path.cwd()),
        "seed": seed if settings.seed is None else settings.seed,
        "options": {**({} if own is None else own.options), **loading.given()},
    }
    return Source(study=study, **known) if study in ready_studies() else Source.of_file(Path(study), **known)
