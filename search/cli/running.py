"""The commands that compute: ``run``, ``finish`` and ``verify``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ...objectives.device_name import check_device_name
from ...objectives.errors import RankfrontError
from ..report.progress import Progress
from ..space.budget import Budget
from ..storage.folder import Folder
from ..study.loading import Loading, begun, stored_task
from ..study.settings import Settings
from .options import Debug, Dir, Named, options_of, part_of, whole_number


@options_of(Settings, Loading)
def run(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A ready study's name, or your own Python file.")],
    debug: Debug = False,
    **options: Any,
) -> None:
    """Search the ranks of a model, or go on with it.

    An option that is not given is the stored study's own, where there is one.
    """
    # What is wrong with the options is said before a dense model is trained, or anything heavy imported.
    asked = part_of(Settings, options)
    settings, loading = Settings(**asked), Loading(**part_of(Loading, options))
    with Progress() as progress, begun(study, settings, loading, progress) as (task, source):
        from ..study.run import run

        run(task, **asked, progress=progress, source=source)


@options_of(Settings, only=("budget", "device", "storage"))
def finish(
    folder: Dir,
    epochs: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Passes over the training data.")],
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate [default: the study's]")] = None,
    study: Named = None,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Fine-tune the best model for longer, or go on with it; the result goes to DIR/finished/BUDGET."""
    if options["budget"]:
        Budget.of(options["budget"])
    if epochs < 1:
        raise RankfrontError(f"epochs must be 1 or more, but got {epochs}")
    check_device_name(options["device"])
    Folder(folder).check_holds_study(options["storage"])
    from ..results.result import Result

    stored = Result.open(folder, options["storage"])
    with (
        Progress() as progress,
        stored_task(stored.study, stored.folder, study, options["device"], progress) as task,
    ):
        from ..study.finish import finish

        finish(task, folder, epochs=epochs, lr=lr, progress=progress, **options)


@options_of(Settings, only=("device", "storage"))
def verify(folder: Dir, study: Named = None, debug: Debug = False, **options: Any) -> None:
    """Load every model of the front again, recount it and score it again; exit code 1 on any mismatch."""
    check_device_name(options["device"])
    Folder(folder).check_holds_study(options["storage"])
    from ..results.result import Result

    stored = Result.open(folder, options["storage"])
    with (
        Progress() as progress,
        stored_task(stored.study, stored.folder, study, options["device"], progress) as task,
    ):
        from ..study.verify import verify

        checks = verify(task, folder, progress=progress, **options)
    wrong = [check for check in checks if not check.holds]
    for check in wrong:
        typer.echo(check)
    trials = len({check.trial for check in checks})
    typer.echo(f"{trials} models, {len(checks)} figures, {len(wrong)} that do not hold")
    if wrong:
        raise typer.Exit(1)
