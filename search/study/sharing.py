"""Shared training of a study: once, before its trials; other workers wait for it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from optuna.study import Study

from ...objectives.errors import TrialError
from ...objectives.io.checkpoint import Checkpoint
from ...objectives.objective import Objective
from ...objectives.plan import Plan
from ...objectives.shared import train_shared
from ..allocation.drawn import drawn
from ..allocation.knapsack import knapsack
from ..report.progress import Progress
from ..space.limits import limits_at
from ..space.space import Space
from ..storage.slots import seed_for
from .run_settings import RunSettings
from .workers import Worker

SHARED = "shared training"
"""The study's user attribute with its steps, its seconds and what came out; also what is shown while it runs."""

SHARE = 0.25
"""The steps of shared training, as a share of those of all trials."""

PLANS = 256
"""How many plans are trained on."""

WATCHED = (1.0, 0.75, 0.5)
"""Positions on the way to the budget whose knapsack's plans say which epoch was best."""


def share_weights(
    study: Study, objective: Objective, space: Space, settings: RunSettings, worker: Worker, progress: Progress
) -> None:
    """Train weights that all plans share, or read those that are there; trials then begin with them where that helps.

    Where training fails, that is said, and the study goes on without.
    """
    known: dict[str, Any] = study.user_attrs.get(SHARED, {})
    trials = objective.task.finetune.total_steps(objective.task.train) * settings.trials
    steps = int(known.get("steps", max(1, round(SHARE * trials))))
    plans, watched = plans_to_train(space, seed_for(settings.seed, 0, SHARED))
    if "failed" in known or not plans or not trials:
        return
    with worker.testing():
        began = time.monotonic()
        try:
            train_shared(
                objective,
                plans,
                watched,
                steps=steps,
                seed=seed_for(settings.seed, 1, SHARED),
                checkpoint=Checkpoint(settings.folder.shared, objective.identity["dense model"]),
                progress=lambda done, total: progress(SHARED, done, total),
                note=progress.say,
            )
        except TrialError as error:
            progress.say(f"shared training failed, trials begin without it: {error}")
            failed = {"failed": str(error)}
            worker.exclusively(lambda: study.set_user_attr(SHARED, failed))
            return
        finally:
            progress.finish(SHARED)
        seconds = time.monotonic() - began
        if "steps" not in known:
            score = objective.score_before_finetuning(watched[0]) if watched else None
            found = {"steps": steps, "seconds": seconds, "score": score}
            worker.exclusively(lambda: study.set_user_attr(SHARED, found))
            shown = "none" if score is None else objective.task.score.scale.show(score)
            progress.say(
                f"shared training: {steps:,} steps in {seconds:.0f} s; without a training of its own, the knapsack's "
                f"plan at the budget scores {shown}"
            )


def plans_to_train(space: Space, seed: int) -> tuple[list[Plan], list[Plan]]:
    """Return the plans that are trained on, drawn with a seed, and those that say which epoch was best."""
    rules = [knapsack(space.candidates, limits_at(space, position)) for position in WATCHED]
    trained = [space.plan(choices) for choices in drawn(space, PLANS, np.random.default_rng(seed))]
    return trained, [space.plan(choices) for choices in rules if choices is not None]
