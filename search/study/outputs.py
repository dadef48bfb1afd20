"""What a study leaves in its folder for people: the front as a table, the best model's files, the page."""

from __future__ import annotations

from ...objectives.io.files import write_whole
from ..report.format import trial_line
from ..report.page import write_report
from ..report.progress import Progress
from ..results.result import Result


def write_outputs(result: Result) -> Result:
    """Write ``front.csv``, ``best/`` (where a trial keeps the budget) and ``report.html``."""
    front = result.front
    write_whole(result.folder.front, lambda temporary: front.to_csv(temporary, index=False))
    if result.retained:
        result.export(result.folder.best, finished=False)
    write_report(result)
    return result


def say_outputs(result: Result, progress: Progress) -> None:
    """Say what the best model is, and where the files lie."""
    folder = result.folder
    if not result.retained:
        progress.say(f"no trial is complete within the budget   page: {folder.report}")
        return
    best = result.best_trial()
    costs = trial_line(best.score, best.metrics, result.dense)
    progress.say(f"best within the budget: trial {best.trial}, validation {costs}")
    count = len(result.front)
    progress.say(f"{count} trial{'s' * (count != 1)} on the front: {folder.front}")
    progress.say(f"best model: {folder.best}   page: {folder.report}")
