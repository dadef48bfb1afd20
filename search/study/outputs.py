"""What a study leaves in its folder for people: the front as a table, the best model's files, the page."""

from __future__ import annotations

from ...objectives.described import counted
from ...objectives.errors import RankfrontError
from ...objectives.io.files import write_whole
from ..report.format import spent, trial_line
from ..report.page import write_report
from ..report.progress import Progress
from ..results.result import Result
from ..storage.trials import Scored


def write_outputs(result: Result) -> Result:
    """Write ``front.csv``, ``best/`` (where a trial keeps the budget) and ``report.html``."""
    front = result.front
    write_whole(result.folder.front, lambda temporary: front.to_csv(temporary, index=False))
    if _best(result)[0] is not None:
        result.export(result.folder.best, finished=False)
    write_report(result)
    return result


def say_outputs(result: Result, progress: Progress) -> None:
    """Say what the best model is, and where the files lie."""
    folder = result.folder
    if result.seconds:
        progress.say(spent(result.seconds))
    best, why = _best(result)
    if best is None:
        progress.say(f"{why}   page: {folder.report}")
        return
    costs = trial_line(best.score, best.metrics, result.dense)
    progress.say(f"best within the budget: trial {best.trial}, validation {costs}")
    progress.say(f"{counted(len(result.on_front), 'trial')} on the front: {folder.front}")
    progress.say(f"best model: {folder.best}   page: {folder.report}")


def _best(result: Result) -> tuple[Scored | None, str]:
    """Return the best trial, or None and why there is none."""
    if not result.retained:
        return None, "no trial is complete within the budget"
    try:
        return result.best_trial(), ""
    except RankfrontError as error:  # the score that is asked for
        return None, str(error)
