"""What a study's trials hold, as plain records and as a table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import Any

import pandas as pd
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ...objectives.errors import RankfrontError
from ...objectives.metrics.count import Metrics
from ...objectives.plan import Plan
from .repeats import luck_of, runs_of
from .slots import INTERRUPTED

PLAN, SCORE, METRICS, REASON, SECONDS, KEPT = "plan", "score", "metrics", "reason", "seconds", "kept"
DIGEST, UNTRAINED, MACHINE = "weights sha256", "untrained score", "machine"
"""Names of a trial's user attributes."""

COSTS = Metrics._fields


@dataclass(frozen=True)
class Record:
    """One trial: what was tried and what came out; what a trial did not get to is None."""

    trial: int
    state: str
    feasible: bool
    score: float | None
    metrics: Metrics | None
    plan: Plan | None
    seconds: float | None
    reason: str
    kept: Mapping[str, float]


@dataclass(frozen=True)
class Scored:
    """A complete trial within the budget."""

    trial: int
    score: float
    metrics: Metrics
    plan: Plan
    kept: Mapping[str, float] = field(default_factory=dict, compare=False)
    """Layer → share of its parameters that the plan keeps."""
    runs: int = 1
    """How often its plan was run."""
    luck: float = 0.0
    """By how much its score is thought to be lucky: see `repeats`."""

    @property
    def judged(self) -> float:
        """The score less luck: what it is compared by."""
        return self.score - self.luck


def feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial is complete and keeps every constraint."""
    return trial.state == TrialState.COMPLETE and all(v <= 0 for v in trial.constraints.values())


def read_trials(study: Study, numbers: Collection[int] | None = None) -> list[Record]:
    """Return all trials, or those of these numbers, in the order of their numbers, interrupted ones left out."""
    trials = study.get_trials(deepcopy=False)
    wanted = [t for t in trials if (numbers is None or t.number in numbers) and not t.user_attrs.get(INTERRUPTED)]
    return [_record(trial) for trial in wanted]


def _record(trial: FrozenTrial) -> Record:
    known = trial.user_attrs
    try:
        return Record(
            trial.number,
            trial.state.name.lower(),
            feasible(trial),
            known.get(SCORE),
            Metrics(**known[METRICS]) if METRICS in known else None,
            Plan.from_json(known[PLAN]) if PLAN in known else None,
            known.get(SECONDS),
            known.get(REASON, ""),
            known.get(KEPT, {}),
        )
    except (TypeError, RankfrontError) as error:
        raise RankfrontError(f"trial {trial.number} of the study is damaged: {error}") from None


def scored(records: Iterable[Record]) -> list[Scored]:
    """Return the complete trials within the budget."""
    trials = [
        Scored(r.trial, r.score, r.metrics, r.plan, r.kept)
        for r in records
        if r.feasible and r.score is not None and r.metrics is not None and r.plan is not None
    ]
    runs = runs_of((t.plan, t.score) for t in trials)
    luck = luck_of(runs)

    def judged(trial: Scored) -> Scored:
        scores = runs[trial.plan]
        return replace(trial, runs=len(scores), luck=trial.score - mean(scores) if len(scores) > 1 else luck)

    return [judged(trial) for trial in trials]


def trial_table(records: Iterable[Record], score: str) -> pd.DataFrame:
    """Return one row a trial.

    Columns: ``trial`` (number), ``state``, ``feasible``, the score under its own name (``accuracy`` or
    ``score``), ``params``, ``flops``, ``bytes``, ``seconds``, ``reason`` (of a failed or pruned trial),
    ``plan`` (a `Plan`). What a trial does not have is missing.
    """
    rows = [
        {
            "trial": r.trial,
            "state": r.state,
            "feasible": r.feasible,
            score: r.score,
            **(dict.fromkeys(COSTS) if r.metrics is None else r.metrics._asdict()),
            "seconds": r.seconds,
            "reason": r.reason,
            "plan": r.plan,
        }
        for r in records
    ]
    columns = ["trial", "state", "feasible", score, *COSTS, "seconds", "reason", "plan"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype(dict.fromkeys((score, *COSTS, "seconds"), "float64"))


def score_name(study: Study) -> str:
    """Return what the study calls its score: ``accuracy``, or ``score``."""
    return study.user_attrs["score_name"]


def dense_of(study: Study) -> dict[str, Any]:
    """Return what is noted of the dense model: score, metrics, sizes of the splits."""
    return study.user_attrs["dense"]
