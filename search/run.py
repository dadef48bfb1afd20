"""``run``: the whole way from a task to a front."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from optuna.study import Study

from ..objectives.device import choose_device
from ..objectives.errors import RankfrontError
from ..objectives.files import write_json, write_whole
from ..objectives.model_files import load_model
from ..objectives.objective import Objective
from ..objectives.task import Task
from .budget import check_possible
from .candidates import Candidates
from .folder import Folder
from .manifest import manifest_of
from .progress import Progress
from .report import write_report
from .result import TEST, Result
from .samplers import DEFAULT, make_sampler
from .settings import DEFAULT_OBJECTIVES, Settings
from .slots import free_interrupted, next_slot, occupied
from .space import Space
from .storage import check_url, create_or_resume, database_of, open_storage, storage_errors
from .trial_loop import run_trials
from .words import count_in_words, metrics_in_words, score_in_words


def run(
    task: Task,
    *,
    budget: str | Iterable[str] | None = None,
    objectives: Iterable[str] = DEFAULT_OBJECTIVES,
    trials: int | None = None,
    timeout: str | float | None = None,
    out: str | Path | None = None,
    storage: str | None = None,
    sampler: str = DEFAULT,
    device: str = "auto",
    seed: int = 0,
    progress: bool | Progress = True,
) -> Result:
    """Search the ranks of a task's model; go on from where an earlier run in the same folder stopped.

    Args:
        task: the trained model, its data, loss and score.
        budget: upper bounds such as ``"params=5%"`` or ``["params=5%", "flops=30%"]``: percentages are of
            the whole dense model, kept.
        objectives: what the front trades: ``accuracy`` and any of ``params``, ``flops``, ``bytes``.
        trials: the study's total, those of earlier runs included.
        timeout: begin no further trial after this time (``"10m"``, or seconds).
        out: the study's folder; ``runs/<task.name>`` if not given.
        storage: a database's URL in place of ``out/study.db``.
        sampler: a name from `samplers.SAMPLERS`.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: of everything random.
        progress: whether to show what is going on.

    Raises:
        RankfrontError: something given cannot be; nothing half-written is left.
        KeyboardInterrupt: the user stopped it; what is finished is stored, and outputs are up to date.
    """
    settings = Settings.checked(
        task,
        budget=budget,
        objectives=objectives,
        trials=trials,
        timeout=timeout,
        out=out,
        storage=storage,
        sampler=sampler,
        device=device,
        seed=seed,
    )
    shown = progress if isinstance(progress, Progress) else Progress(shown=progress)
    folder = Folder(settings.out)
    objective = Objective(task, device=choose_device(settings.device), seed=settings.seed, cache=folder.cache)
    check_possible(settings.budget, objective.costs.dense, objective.costs.smallest())
    url = database_of(folder.path, settings.storage)
    check_url(url)
    folder.prepare()
    with folder.locked(), storage_errors(url), shown:
        study = create_or_resume(
            open_storage(url),
            task.name,
            settings.objectives,
            {**settings.identity(task), **objective.fingerprint()},
            url if settings.storage else str(folder.path / "study.db"),
        )
        return _run_in(study, objective, settings, folder, shown)


def _run_in(study: Study, objective: Objective, settings: Settings, folder: Folder, progress: Progress) -> Result:
    task = objective.task
    free_interrupted(study)
    done = len(occupied(study))
    write_json(folder.manifest, manifest_of(study, settings, objective.device))
    if next_slot(study) >= settings.trials:
        progress.say(f"all {settings.trials} trials are done: rebuilding the outputs")
    else:
        if done:
            progress.say(f"resuming: {done} of {settings.trials} trials done")
        objective.prepare(progress)
        _note_dense_model(study, objective, settings, progress)
        limits = settings.budget.limits(objective.costs.dense)
        space = Space(Candidates.of(objective), limits)
        study.sampler = make_sampler(settings.sampler, space, settings.seed)
        try:
            run_trials(study, space, objective, settings, folder, progress)
        except KeyboardInterrupt:
            if occupied(study):
                write_outputs(Result(study, folder, task.model), progress)
            raise
    if next_slot(study) >= settings.trials:
        _score_on_test(study, objective, folder, progress)
    result = Result(study, folder, task.model)
    write_outputs(result, progress)
    return result


def _note_dense_model(study: Study, objective: Objective, settings: Settings, progress: Progress) -> None:
    """Score the dense model once, and say what there is to compress."""
    task, dense = objective.task, objective.costs.dense
    if "dense" not in study.user_attrs:
        splits = {name: getattr(task, name) for name in ("validation", "test")}
        noted = {
            "score": objective.score(objective.dense),
            "metrics": dense._asdict(),
            "full_ranks": {layer.name: min(layer.in_features, layer.out_features) for layer in objective.layers},
            "samples": {name: len(split) for name, split in splits.items() if split is not None},
        }
        study.set_user_attr("score_name", task.score_name)
        study.set_user_attr("dense", noted)
    score = score_in_words(task.score_name, study.user_attrs["dense"]["score"])
    progress.say(
        f"dense model: validation {task.score_name} {score}, {count_in_words(dense.params)} params, "
        f"{count_in_words(dense.flops, 'FLOP')}, {count_in_words(dense.bytes, 'B')}"
    )
    count = len(objective.costs.choices)
    progress.say(f"{count} layers to factorize, budget {settings.budget}, sampler {settings.sampler}")
    for name, reason in list(objective.layers.left_dense.items())[:8]:
        progress.say(f"  left dense: {name} ({reason})")


def _score_on_test(study: Study, objective: Objective, folder: Folder, progress: Progress) -> None:
    """Score the finished front on the test split, each of its trials once."""
    if objective.task.test is None:
        return
    scores: dict[str, float] = dict(study.user_attrs.get(TEST, {}))
    missing = [t for t in Result(study, folder).kept if str(t.trial) not in scores]
    if "dense" in scores and not missing:
        return
    scores.setdefault("dense", objective.score(objective.dense.to(objective.device), "test"))
    for done, trial in enumerate(missing):
        progress("scoring the front on the test split", done, len(missing))
        if (weights := folder.weights(trial.trial)).exists():
            model = load_model(objective.task.model, trial.plan, weights).to(objective.device)
            scores[str(trial.trial)] = objective.score(model, "test")
    progress("scoring the front on the test split", len(missing), len(missing))
    study.set_user_attr(TEST, scores)


def write_outputs(result: Result, progress: Progress) -> None:
    """Write ``front.csv``, ``best/`` and ``report.html``."""
    folder = result.folder
    front = result.front
    write_whole(folder.front, lambda temporary: front.to_csv(temporary, index=False))
    try:
        best = result.best_trial()
        result.export(folder.best)
        told = metrics_in_words(result.score, best.score, best.metrics, result.dense)
        progress.say(f"best within the budget: trial {best.trial}, validation {told}")
    except RankfrontError as error:
        progress.say(f"no best model: {error}")
    write_report(result)
    progress.say(f"{len(front)} trials on the front: {folder.front}")
    progress.say(f"best model: {folder.best}   page: {folder.report}")
