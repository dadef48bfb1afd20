"""The loop of trials: ask the sampler, check the plan, run it, store what came out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import Trial, TrialState

from ...objectives.errors import RankfrontError
from ...objectives.export.model_files import save_weights
from ...objectives.io.files import digest
from ...objectives.metrics.registry import metric_named
from ...objectives.objective import Objective
from ...objectives.outcome import Outcome
from ...objectives.phases import PROPOSING, STORING, Phases
from ...objectives.plan import Plan
from ..report.format import flops_note, trial_line
from ..report.progress import TRIALS, Progress
from ..report.under_way import UnderWay
from ..samplers.asker import Asker
from ..space.candidates import Choices
from ..space.space import Space
from ..storage.dense import DenseModel
from ..storage.errors import LockLost
from ..storage.manifest import machine
from ..storage.remote_files import RemoteFiles
from ..storage.slots import next_slot, occupied, seed_for
from ..storage.study_storage import set_user_attrs
from ..storage.trials import (
    DIGEST,
    INTERVAL,
    MACHINE,
    METRICS,
    PHASES,
    PLAN,
    REASON,
    SCORE,
    SCORE_BEFORE_FINETUNING,
    SECONDS,
    SHARES,
    feasible,
)
from .pruning import watcher
from .retaining import Retaining
from .run_settings import RunSettings
from .shared_files import weights_name
from .storing import interrupt, store_result
from .workers import Worker

FIRST_FAILURES = 3
"""So many failures before anything else happened mean that the study itself is broken."""


@dataclass(frozen=True)
class TrialLoop:
    """All that trials of one study are run with, by one worker."""

    study: Study
    space: Space
    asker: Asker
    objective: Objective
    settings: RunSettings
    worker: Worker
    progress: Progress
    dense: DenseModel
    phases: Phases
    """Notes where each trial's time goes, and tells ``under_way``."""
    under_way: UnderWay
    files: RemoteFiles | None = None
    """Where other machines find weights."""

    def run(self) -> None:
        """Run trials until the study has ``settings.trials`` of them or the time is over.

        Raises:
            RankfrontError: the first three trials failed, or a file could not be written.
            KeyboardInterrupt: the user stopped it; the trial under way is marked as interrupted.
        """
        began, timeout_s = time.monotonic(), self.settings.timeout_s
        total = self.settings.trials
        failures: list[str] = []
        while True:
            self._show_standing()
            over = timeout_s is not None and time.monotonic() - began > timeout_s
            if over and (slot := next_slot(self.study)) < total:
                self.progress.say_once("time", f"time is over after {slot} of {total} trials; the same command goes on")
                return
            try:
                asked = self._ask()
            except (LockLost, UpdateFinishedTrialError):
                continue  # another worker may have claimed the same slot, or has taken this one for dead
            if asked is None:
                return
            trial, slot, choices = asked
            try:
                ok, reason = self._run(trial, slot, choices)
            except UpdateFinishedTrialError:
                self.settings.folder.drop_weights([trial.number])
                self.progress.say(f"trial {trial.number} was given to another worker meanwhile: its result is dropped")
                continue
            except BaseException as error:
                # Whatever ends the process here is no result of this trial's: its slot is to be run again.
                interrupt(self.worker, self.study, trial)
                raise error
            finally:
                self.under_way.trial("")
            failures = [] if ok else [*failures, reason]
            if len(failures) == FIRST_FAILURES and not any(map(feasible, self.study.get_trials(deepcopy=False))):
                raise RankfrontError(f"{FIRST_FAILURES} trials failed, none succeeded before; the first: {failures[0]}")

    def _ask(self) -> tuple[Trial, int, Choices] | None:
        """Return a new trial, its slot and its choices, or None if all slots are taken; one worker at a time.

        The slot is claimed first. The sampler scores networks without the study lock (see `Worker.released`).
        """
        self.phases.restart()
        trial = None
        try:
            with self.phases(PROPOSING), self.worker.exclusive():
                slot = self.worker.free_slot(self.study, self.settings.trials)
                if slot is None:
                    return None
                trial = self.study.ask()
                self.worker.claim(trial, slot)
                return trial, slot, self.asker.suggest(trial, slot)
        except BaseException:
            if trial is not None:
                interrupt(self.worker, self.study, trial)
            raise

    def _run(self, trial: Trial, slot: int, choices: Choices) -> tuple[bool, str]:
        """Run one trial and store its result; returns whether it ran without an error, else which."""
        plan = self.space.plan(choices)
        costs = self.space.candidates.costs
        set_user_attrs(trial, {PLAN: plan.to_json(), SHARES: costs.shares(plan)})
        violations = self.space.violations(choices)
        for metric, violation in violations.items():
            trial.set_constraint(metric, violation)
        label = f"[{slot + 1}/{self.settings.trials}] trial {trial.number}"
        self.under_way.trial(label)
        if any(violation > 0 for violation in violations.values()):
            reason = "over budget, so not trained"
            self._tell(trial, {METRICS: dict(costs.of(plan)), REASON: reason}, TrialState.PRUNED)
            self.progress.say(f"{label}  {reason}")
            return True, ""
        try:
            outcome, stopped_by = self._outcome(trial, slot, plan)
        except Exception as error:  # the user's code may raise anything: it is this trial's result
            if isinstance(error, UpdateFinishedTrialError):
                raise
            reason = f"{type(error).__name__}: {error}".strip()[:2000]
            self._tell(trial, {REASON: reason, **self._spent()}, TrialState.FAIL)
            self.progress.say(f"{label}  failed: {reason.splitlines()[0][:160]}")
            return False, reason
        found = {
            SCORE: outcome.score,
            INTERVAL: outcome.interval,
            SCORE_BEFORE_FINETUNING: outcome.score_before_finetuning,
            MACHINE: machine(self.objective.device),
            METRICS: dict(outcome.metrics),
            "batchnorm_reestimated": outcome.batchnorm_reestimated,
        }
        notes = [*outcome.notes, *self._measured_over_budget(trial, outcome)]
        if notes:
            found[REASON] = "; ".join(notes)
        if reason := stopped_by:
            self._tell(trial, {**found, **self._spent(), REASON: reason}, TrialState.PRUNED)
            self.progress.say(f"{label}  {reason}")
            return True, ""
        with self.phases(STORING):
            weights = self.settings.folder.weights(trial.number)
            save_weights(weights, outcome.model, int8=self.objective.task.int8)
            found[DIGEST] = digest(weights)
            if self.files is not None:
                self.files.push(weights, weights_name(found[DIGEST]))
        found |= self._spent()
        self._tell(trial, found, TrialState.COMPLETE)
        line = trial_line(outcome.score, outcome.metrics, self.dense)
        changed = self._retaining.after(trial.number)
        self.progress.say(f"{label:<18} {line}   {found[SECONDS]:5.1f} s   {changed}".rstrip())
        self.progress.say_once("flops", flops_note(plan, outcome.metrics, self.dense))
        return True, ""

    def _outcome(self, trial: Trial, slot: int, plan: Plan) -> tuple[Outcome, str]:
        """Return what became of a plan, and why it was stopped early, nothing if it was not."""
        stopped_by = ""
        watch = watcher(
            self.study, trial, self.space.candidates.costs.of(plan), self.dense.scale, self.dense.samples["validation"]
        )

        def stop(epoch: int, score: float) -> bool:
            nonlocal stopped_by
            stops, why = watch(epoch, score)
            stopped_by = f"stopped after epoch {epoch}: {why}" if stops else ""
            return stops

        outcome = self.objective(
            plan,
            seed_for(self.settings.seed, slot, "trial"),
            progress=self.under_way.steps,
            stop=stop,
            phases=self.phases,
        )
        return outcome, stopped_by

    def _spent(self) -> dict[str, Any]:
        """Return what is stored of a trial's time: all of it since the proposal began, and by phase."""
        seconds = self.phases.seconds()
        return {SECONDS: sum(seconds.values()), PHASES: seconds}

    def _measured_over_budget(self, trial: Trial, outcome: Outcome) -> Iterator[str]:
        """Constrain a trial by the bounded metrics that only measuring tells; yield what is over its bound."""
        for name, limit in self.settings.budget.limits(self.dense.metrics).items():
            if name not in self.space.limits:
                trial.set_constraint(name, outcome.metrics[name] / limit - 1)
                if outcome.metrics[name] > limit:
                    show = metric_named(name).show
                    yield f"over budget: {name} is {show(outcome.metrics[name])}, at most {show(limit)} is asked for"

    def _tell(self, trial: Trial, found: dict[str, Any], state: TrialState) -> None:
        """Store a trial's result, all of it; one worker at a time.

        Raises:
            UpdateFinishedTrialError: it was taken for dead meanwhile, and its slot given away.
        """
        values = None
        if state == TrialState.COMPLETE:
            _, *costs = self.settings.objectives
            values = [found[SCORE], *(found[METRICS][name] for name in costs)]
        store_result(self.worker, self.study, trial, found, state, values)

    def _show_standing(self) -> None:
        """Show how many trials have ended, and the best."""
        ended = sum(trial.state.is_finished() for trial in occupied(self.study).values())
        self.progress(TRIALS, ended, self.settings.trials)
        self.progress.best(self._retaining.best())

    @property
    def _retaining(self) -> Retaining:
        return Retaining(self.study, self.settings, self.dense)
