"""Everything made ready for a study's trials: the dense model scored, layers decomposed, the space, the sampler.

What is expensive in it is kept in the study and in its folder: whoever prepares the same study again finds it there.
"""

from __future__ import annotations

from collections.abc import Callable

from ...objectives.device import to_device
from ...objectives.errors import RankfrontError
from ...objectives.metrics.registry import METRICS
from ...objectives.passes import cost_before_finetuning
from ...objectives.phases import SCREENING, Phases
from ...objectives.plan import Plan
from ...objectives.warnings import at_chance
from ..allocation.knapsack import knapsack
from ..report.under_way import UnderWay
from ..samplers.asker import Asker
from ..samplers.problem import Problem
from ..space.candidates import Candidates
from ..space.layer_table import write_layers
from ..space.space import Space
from ..storage.dense import DenseModel, is_noted, note_left_dense
from ..storage.manifest import SENSITIVITY
from .latency import predict_latency
from .loop import TrialLoop
from .opening import Opened
from .outputs import say_what_there_is
from .pruning import PRUNER
from .shared_dense import push_dense
from .shared_files import push_decompositions
from .sharing import share_weights


def prepared(opened: Opened) -> TrialLoop:
    """Make everything ready for trials: the layers' decompositions, the plans there are, the sampler.

    Raises:
        RankfrontError: no plan keeps all bounds of the budget.
    """
    study, objective, settings = opened.study, opened.objective, opened.settings
    worker, progress = opened.worker, opened.progress
    _note_dense_model(opened)
    objective.prepare(progress)
    if opened.files is not None:
        push_dense(opened.files, settings.folder, objective)
        push_decompositions(opened.files, settings.folder)
    opened.warn(objective.notes)

    def note() -> None:
        study.set_user_attr(SENSITIVITY, objective.sensitivity)
        opened.write_manifest()

    worker.exclusively(note)
    say_what_there_is(objective, settings, progress)
    if settings.engine is not None:
        predict_latency(study, objective, settings.engine, settings.budget, worker, progress)
    dense_costs, budget = objective.costs.dense, settings.budget
    candidates = Candidates.of(objective)
    worker.exclusively(lambda: write_layers(settings.folder.layers, candidates))
    space = Space(candidates, budget.limits(dense_costs), budget.down_to(dense_costs))
    if knapsack(space.candidates, space.limits) is None:
        raise RankfrontError(f"budget {settings.budget} is kept by no plan: its bounds cannot hold all at once")

    if settings.shared:
        share_weights(study, objective, space, settings, worker, progress)

    def without_lock(score: Callable[[Plan], float | None]) -> Callable[[Plan], float | None]:
        """Return ``score`` done without the study lock."""

        def noted(plan: Plan) -> float | None:
            with phases(SCREENING), worker.released():
                return score(plan)

        return noted

    under_way = UnderWay(progress)
    phases = Phases(told=under_way.phase)
    study.pruner = PRUNER
    dense = DenseModel.of(study)
    problem = Problem(
        space,
        settings.seed,
        settings.trials,
        without_lock(objective.factorized_score),
        without_lock(objective.score_before_finetuning),
        objective.task.score.scale,
        dense.samples["validation"] if dense.scale.proportion else 0,
        settings.objectives[1:],
        cost_before_finetuning(objective.task, None if objective.shared is None else objective.shared.part.size),
        settings.focus == "front",
        objective.shared is not None,
    )
    asker = Asker(study, problem, settings.sampler)
    return TrialLoop(study, space, asker, objective, settings, worker, progress, dense, phases, under_way, opened.files)


def _note_dense_model(opened: Opened) -> None:
    """Score the dense model once; say what it is, and whether it does no better than guessing."""
    study, objective = opened.study, opened.objective
    task = objective.task
    if not is_noted(study):
        found = objective.scored(to_device(objective.dense, objective.device))
        DenseModel(found.score, objective.costs.dense, {"validation": found.samples}, task.score.scale).note(study)
        if guesses := at_chance(task, objective.dense, found.score, found.samples):
            opened.warn([guesses])
    note_left_dense(study, objective.left_dense)
    dense = DenseModel.of(study)
    costs = ", ".join(f"{name} {METRICS[name].show(dense.metrics[name])}" for name in dense.costs)
    opened.progress.say(f"dense model: validation {dense.scale.name} {dense.scale.show(dense.score)}, {costs}")
