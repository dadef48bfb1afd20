"""What a study's trials hold, as plain records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ...objectives.errors import RankfrontError
from ...objectives.metrics.scale import Scale
from ...objectives.metrics.values import Metrics
from ...objectives.plan import Plan
from .repeats import runs_of, selection_bias
from .slots import was_interrupted

PLAN, SCORE, METRICS, REASON, SECONDS, SHARES = "plan", "score", "metrics", "reason", "seconds", "kept"
PHASES = "seconds by phase"
DIGEST, SCORE_BEFORE_FINETUNING, MACHINE = "weights sha256", "untrained score", "machine"
"""Names of a trial's user attributes, as they are stored; "untrained score" is kept so that older studies open."""

INTERVAL = "interval"
"""The trial's user attribute with its score's 95 % interval: whoever reads a study need not import SciPy for it."""

TEST, TEST_MACHINES, TEST_INTERVALS = "test", "test machines", "test intervals"
"""The study's user attributes by trial number: test scores, where they were taken, their 95 % intervals."""

COLUMNS = ("trial", "state", "feasible", "runs", "seconds", "reason", "plan")
"""Columns that every table of trials has beside the score and the metrics."""

Interval = tuple[float, float]


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
    """Of the whole trial, its proposal included."""
    reason: str
    shares: Mapping[str, float]
    """Layer → share of its parameters that the plan keeps."""
    interval: Interval | None = None
    """The score's 95 % interval, where it has one and the study stores it."""
    phases: Mapping[str, float] = field(default_factory=dict)
    """Phase → seconds (see `phases`); empty in studies of older versions."""


@dataclass(frozen=True)
class Scored:
    """A complete trial within the budget."""

    trial: int
    score: float
    """On validation, as the task's score gave it."""
    minimised: float
    """The score, its sign turned where higher is better: less is better."""
    metrics: Metrics
    plan: Plan
    shares: Mapping[str, float] = field(default_factory=dict, compare=False)
    """Layer → share of its parameters that the plan keeps."""
    interval: Interval | None = None
    """The score's 95 % interval, where it has one and the study stores it."""
    runs: int = 1
    """How often its plan was run."""
    selection_bias: float = 0.0
    """The estimated selection bias of ``minimised``: see `repeats`."""

    @property
    def corrected(self) -> float:
        """The minimised score, corrected for selection bias: what trials are compared by."""
        return self.minimised + self.selection_bias

    def cost(self, metric: str) -> float:
        """Return what its network costs in a metric."""
        return self.metrics[metric]


def feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial is complete and keeps every constraint."""
    return trial.state == TrialState.COMPLETE and all(v <= 0 for v in trial.constraints.values())


def read_trials(study: Study, numbers: Collection[int] | None = None) -> list[Record]:
    """Return all trials, or those of these numbers, in the order of their numbers, interrupted ones left out."""
    trials = study.get_trials(deepcopy=False)
    wanted = [t for t in trials if (numbers is None or t.number in numbers) and not was_interrupted(t)]
    return [_record(trial) for trial in wanted]


def _record(trial: FrozenTrial) -> Record:
    known = trial.user_attrs
    try:
        return Record(
            trial.number,
            trial.state.name.lower(),
            feasible(trial),
            known.get(SCORE),
            Metrics(known[METRICS]) if METRICS in known else None,
            Plan.from_json(known[PLAN]) if PLAN in known else None,
            known.get(SECONDS),
            known.get(REASON, ""),
            known.get(SHARES, {}),
            as_interval(known.get(INTERVAL)),
            known.get(PHASES, {}),
        )
    except (TypeError, ValueError, RankfrontError) as error:
        raise RankfrontError(f"trial {trial.number} of the study is damaged: {error}") from None


def as_interval(stored: Sequence[float] | None) -> Interval | None:
    """Return a stored interval, None where there is none."""
    return None if stored is None else (float(stored[0]), float(stored[1]))


def scored(records: Iterable[Record], scale: Scale) -> list[Scored]:
    """Return the complete trials within the budget, corrected for selection bias."""
    trials = [
        Scored(r.trial, r.score, scale.minimised(r.score), r.metrics, r.plan, r.shares, r.interval)
        for r in records
        if r.feasible and r.score is not None and r.metrics is not None and r.plan is not None
    ]
    runs = runs_of((t.plan, t.minimised) for t in trials)
    bias = selection_bias(runs)

    def corrected(trial: Scored) -> Scored:
        values = runs[trial.plan]
        own = mean(values) - trial.minimised if len(values) > 1 else bias
        return replace(trial, runs=len(values), selection_bias=own)

    return [corrected(trial) for trial in trials]
