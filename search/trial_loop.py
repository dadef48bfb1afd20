"""The loop of trials: ask the sampler, check the plan, run it, store what came out."""

from __future__ import annotations

import time

from optuna.study import Study
from optuna.trial import Trial, TrialState

from ..objectives.errors import RankfrontError
from ..objectives.metrics import Metrics
from ..objectives.model_files import save_weights
from ..objectives.objective import Objective
from .folder import Folder
from .front import front_of, kept_of
from .progress import TRIALS, Progress
from .pruning import watcher
from .settings import SCORE_OBJECTIVE, RunSettings
from .slots import INTERRUPTED, SLOT, next_slot, seed_for
from .space import Space
from .trials import KEPT, METRICS, PLAN, REASON, SCORE, SECONDS, dense_of, feasible, read_trials, score_name, scored
from .words import metrics_in_words

FIRST_FAILURES = 3
"""So many failures before anything else happened mean that the study itself is broken."""


def run_trials(study: Study, space: Space, objective: Objective, settings: RunSettings, progress: Progress) -> None:
    """Run trials until the study has ``settings.trials`` of them or the time is over.

    Raises:
        RankfrontError: the first three trials failed, or a file could not be written.
        KeyboardInterrupt: the user stopped it; the trial under way is marked as interrupted.
    """
    began, timeout_s = time.monotonic(), settings.told.timeout_s
    failures: list[str] = []
    while (slot := next_slot(study)) < settings.trials:
        if timeout_s is not None and time.monotonic() - began > timeout_s:
            progress.say(f"time is over after {slot} of {settings.trials} trials; the same command goes on from here")
            return
        trial = study.ask(space.distributions)
        try:
            trial.set_user_attr(SLOT, slot)
            reason = _run(study, trial, slot, space, objective, settings, progress)
        except BaseException as error:
            # Whatever ends the process here is no result of this trial's: its slot is to be run again.
            if not _finished(study, trial):
                trial.set_user_attr(INTERRUPTED, True)
                study.tell(trial, state=TrialState.FAIL)
            raise error
        progress(TRIALS, slot + 1, settings.trials)
        failures = [*failures, reason] if reason else []
        if len(failures) == FIRST_FAILURES and not any(map(feasible, study.get_trials(deepcopy=False))):
            raise RankfrontError(f"{FIRST_FAILURES} trials failed, none succeeded before; the first: {failures[0]}")


def _run(
    study: Study,
    trial: Trial,
    slot: int,
    space: Space,
    objective: Objective,
    settings: RunSettings,
    progress: Progress,
) -> str:
    """Run one trial and store its result; returns why it failed, nothing if it did not."""
    began = time.monotonic()
    plan = space.plan(trial.params)
    trial.set_user_attr(PLAN, plan.to_json())
    trial.set_user_attr(KEPT, space.candidates.costs.kept(plan))
    violations = space.violations(plan)
    for metric, violation in violations.items():
        trial.set_constraint(metric, violation)
    label = f"[{slot + 1}/{settings.trials}] trial {trial.number}"
    if any(violation > 0 for violation in violations.values()):
        trial.set_user_attr(METRICS, space.candidates.costs.of(plan)._asdict())
        trial.set_user_attr(REASON, "over budget, so not trained")
        study.tell(trial, state=TrialState.PRUNED)
        progress.say(f"{label}  over budget, so not trained")
        return ""
    stopped: list[int] = []
    behind = watcher(study, trial, space.candidates.costs.of(plan), objective.samples)

    def stop(epoch: int, score: float) -> bool:
        if behind(epoch, score):
            stopped.append(epoch)
        return bool(stopped)

    try:
        outcome = objective(
            plan,
            seed_for(settings.told.seed, slot, "trial"),
            progress=lambda done, total: progress(label, done, total),
            stop=stop,
        )
    except Exception as error:  # the user's code may raise anything: it is this trial's result
        reason = f"{type(error).__name__}: {error}".strip()[:2000]
        trial.set_user_attr(REASON, reason)
        study.tell(trial, state=TrialState.FAIL)
        progress.finish(label)
        progress.say(f"{label}  failed: {reason.splitlines()[0][:160]}")
        return reason
    seconds = time.monotonic() - began
    trial.set_user_attr(SCORE, outcome.score)
    trial.set_user_attr(METRICS, outcome.metrics._asdict())
    trial.set_user_attr(SECONDS, seconds)
    trial.set_user_attr("batchnorm_reestimated", outcome.batchnorm_reestimated)
    if stopped:
        reason = f"stopped after epoch {stopped[0]}: clearly behind a trial that costs no more"
        trial.set_user_attr(REASON, reason)
        study.tell(trial, state=TrialState.PRUNED)
        progress.finish(label)
        progress.say(f"{label}  {reason}")
        return ""
    save_weights(settings.folder.weights(trial.number), outcome.model, int8=objective.task.int8)
    values = {SCORE_OBJECTIVE: outcome.score, **outcome.metrics._asdict()}
    study.tell(trial, [values[name] for name in settings.told.objectives])
    on_front = keep_front_weights(study, settings.folder)
    told = metrics_in_words(score_name(study), outcome.score, outcome.metrics, Metrics(**dense_of(study)["metrics"]))
    mark = "   on the front so far" if trial.number in on_front else ""
    progress.say(f"{label:<18} {told}   {seconds:5.1f} s{mark}")
    return ""


def keep_front_weights(study: Study, folder: Folder) -> set[int]:
    """Delete the weights of trials off the front that do not lead either; return the numbers on the front."""
    trials = scored(read_trials(study))
    folder.keep_weights(t.trial for t in kept_of(trials))
    return {t.trial for t in front_of(trials)}


def _finished(study: Study, trial: Trial) -> bool:
    return study.get_trials(deepcopy=False)[trial.number].state.is_finished()
