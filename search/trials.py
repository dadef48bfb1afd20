"""What a study's trials hold, as a table."""

from __future__ import annotations

from typing import Any

import pandas as pd
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ..objectives.metrics import Metrics
from ..objectives.plan import Plan
from .slots import INTERRUPTED

PLAN, SCORE, METRICS, REASON, SECONDS = "plan", "score", "metrics", "reason", "seconds"
"""Names of a trial's user attributes."""

COSTS = Metrics._fields


def feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial is complete and keeps every constraint."""
    return trial.state == TrialState.COMPLETE and all(v <= 0 for v in trial.constraints.values())


def trial_table(study: Study) -> pd.DataFrame:
    """Return one row a trial, interrupted ones left out.

    Columns: ``trial`` (number), ``state`` (lower case), ``feasible``, the score under its own name
    (``accuracy`` or ``score``), ``params``, ``flops``, ``bytes``, ``seconds``, ``reason`` (of a failed or
    pruned trial), ``plan`` (a `Plan`). What a trial does not have is missing.
    """
    score = score_name(study)
    rows = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "feasible": feasible(trial),
            score: trial.user_attrs.get(SCORE),
            **dict.fromkeys(COSTS),
            **trial.user_attrs.get(METRICS, {}),
            "seconds": trial.user_attrs.get(SECONDS),
            "reason": trial.user_attrs.get(REASON, ""),
            "plan": Plan.from_json(trial.user_attrs[PLAN]) if PLAN in trial.user_attrs else None,
        }
        for trial in study.get_trials(deepcopy=False)
        if not trial.user_attrs.get(INTERRUPTED)
    ]
    columns = ["trial", "state", "feasible", score, *COSTS, "seconds", "reason", "plan"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({name: "float64" for name in (score, *COSTS, "seconds")})


def score_name(study: Study) -> str:
    """Return what the study calls its score: ``accuracy``, or ``score``."""
    return study.user_attrs["score_name"]


def dense_of(study: Study) -> dict[str, Any]:
    """Return the dense model's score and costs, and each layer's full rank."""
    return study.user_attrs["dense"]
