"""What a study leaves in its folder for people (the front as a table, the best model's files, the page), and says."""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING

from ...objectives.errors import RankfrontError
from ...objectives.io.files import write_whole
from ..report.format import spent, trial_words
from ..report.page import write_report
from ..report.progress import Progress
from ..results.headline import headline_of
from ..results.model_files import write_model
from ..results.result import Result
from ..samplers.registry import sampler_name
from ..storage.source import source_of
from ..storage.trials import Scored

if TYPE_CHECKING:
    from ...objectives.objective import Objective
    from .run_settings import RunSettings


def write_outputs(result: Result) -> Result:
    """Write ``front.csv``, ``best/`` (where a trial keeps the budget) and ``report.html``."""
    front = result.front
    write_whole(result.folder.front, lambda temporary: front.to_csv(temporary, index=False))
    if _best(result)[0] is not None:
        write_model(result, result.folder.best, None, finished=False)
    else:  # what was the best before its latency was measured is none
        shutil.rmtree(result.folder.best, ignore_errors=True)
    write_report(result)
    return result


def say_what_there_is(objective: Objective, settings: RunSettings, progress: Progress) -> None:
    """Say what there is to compress."""
    count = len(objective.decompositions.options)
    progress.say(f"{count} layers to factorize, budget {settings.budget}, sampler {sampler_name(settings.sampler)}")
    for line in objective.left_dense.lines():
        progress.say(line)


def say_outputs(result: Result, progress: Progress) -> None:
    """Say what was reached, where the files lie, and what can be done next."""
    folder = result.folder
    if result.seconds:
        progress.say(spent(result.seconds))
    best, why = _best(result)
    if best is None:
        progress.say(f"{why}   page: {folder.report}")
        return
    reached = trial_words(best.score, best.metrics, result.dense)
    progress.say(f"best within the budget: trial {best.trial}, validation {reached}")
    if headline := headline_of(result):
        progress.say(headline.sentence)
        progress.say(headline.measured)
    progress.say(f"best model: {folder.best}   page: {folder.report}   front: {folder.front}")
    where = shlex.quote(str(folder.path))
    longer = f"rankfront finish {where} --epochs 5"
    if source_of(result.study, folder) is None:  # begun in Python: no command knows the task
        longer = f"rankfront.finish(task, {str(folder.path)!r}, epochs=5)"
    progress.say(f"next: `rankfront plan {where}` prints its plan, `{longer}` fine-tunes it longer")


def _best(result: Result) -> tuple[Scored | None, str]:
    """Return the best trial, or None and why there is none."""
    if not result.retained:
        return None, "no trial is complete within the budget"
    try:
        return result.best_trial(), ""
    except RankfrontError as error:  # the score that is asked for
        return None, str(error)
