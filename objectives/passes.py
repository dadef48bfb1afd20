"""What a score before fine-tuning costs against a trial, counted in samples that pass the network.

Seconds would say it better, but not the same twice: a search whose proposals depend on them cannot be repeated.
"""

from __future__ import annotations

from .start import read_refit
from .task import Task
from .training.norms import norms_of

BACKWARD = 2
"""Forward passes that a backward pass costs: it multiplies by the weights and by what passed them."""


def cost_before_finetuning(task: Task, part: int | None = None) -> float:
    """Return what a score before fine-tuning costs, as a share of a trial.

    Args:
        task: whose sizes are counted; a split that does not know its size counts as empty.
        part: how many samples networks of shared weights are scored on, which are not refitted; None without such.
    """
    validation, held_out = task.validation.size or 0, task.calibration / 4
    start = 0.0
    if read_refit(task.refit) is not None:
        start += 2 * task.calibration + 4 * held_out  # both networks pass; then two are compared with the dense one
    norms = task.calibration + 4 * held_out if norms_of(task.model) else 0.0  # statistics are re-estimated
    start += norms
    settings = task.finetune
    seen = settings.total_steps(task.train) * task.batch_size
    trial = start + (1 + BACKWARD) * seen + (1 + max(1, settings.epochs)) * validation
    return (start + validation if part is None else norms + part) / max(1.0, trial)
