"""Before the first trial: how long the dense network and its layers take, from which every plan's latency is predicted.

It is measured once, by one worker while no other trains, and stored with the study.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from optuna.study import Study

from ...objectives.data.calling import Inputs
from ...objectives.device import on_cpu
from ...objectives.engines.engine import Runner
from ...objectives.engines.kind_factors import with_factors, with_slower
from ...objectives.engines.layer_times import LayerMeter, calls_of
from ...objectives.engines.pairs import NOISY, measure_pairs
from ...objectives.engines.setting import EngineSetting
from ...objectives.engines.timing import least_seconds
from ...objectives.errors import RankfrontError
from ...objectives.kinds.plain_form import plain_form
from ...objectives.metrics.bytes import BYTES
from ...objectives.metrics.latency import LATENCY
from ...objectives.metrics.latency_table import LatencyTable, PredictedLatency
from ...objectives.metrics.params import PARAMS, count_params
from ...objectives.model.copying import copied
from ...objectives.model.mode import in_eval
from ...objectives.objective import Objective
from ...objectives.plan import Plan
from ..allocation.knapsack import knapsack
from ..report.progress import Progress
from ..space.budget import Budget, check_possible
from ..space.candidates import Candidates
from ..space.space import Space
from ..storage.errors import LockLost
from ..storage.latency import keep_latency_table, latency_table_of
from .measuring import inputs_of, threads_kept
from .workers import Worker

MEASURING = "measuring layers in {}"

PAUSE_S = 2.0
"""How long a worker on another machine waits before it looks again whether layers are measured."""

PAIR_SECONDS = 1.0
"""About how long each pair of networks is run in turn."""


ROUNDS, LEAST_SCALE = 3, 0.5
"""How often the table is scaled, and to how little at the least: less is noise."""

NO_BOUND = Budget()


def predict_latency(
    study: Study, objective: Objective, setting: EngineSetting, budget: Budget, worker: Worker, progress: Progress
) -> None:
    """Let the objective know every plan's latency. Not to be called under the study lock.

    Raises:
        RankfrontError: the engine does not take the network, no plan is as fast as the budget wants, or latencies of
            another machine are wanted that it has not measured.
    """
    table = None
    while table is None:
        if setting.elsewhere is not None:
            table = _table_of_another(study, setting.elsewhere, worker)
            continue
        # The test lock: whoever holds it measures or scores alone; without a table no other worker trains.
        with contextlib.suppress(LockLost), worker.testing():
            table = latency_table_of(study)
            if table is None:
                with threads_kept():
                    table = latency_table(objective, setting, progress, budget)
                worker.exclusively(functools.partial(keep_latency_table, study, table))
    costs = objective.costs
    costs.predict(LATENCY.name, table.dense, PredictedLatency(table, objective.by_name))
    if table.slower and bounds_time_alone(budget):
        objective.decompositions.leave_out(table.slower)
        progress.say(
            f"not proposed: {' and '.join(table.slower)}, as in {setting} plain factors are at least as fast, and the "
            "budget bounds no size"
        )
    fastest = costs.smallest(objective.decompositions.options)[LATENCY.name]
    where, end = f"{setting}", "; the front is measured at the end"
    if setting.elsewhere is not None:
        where, end = f"{setting} on {setting.elsewhere}", ""
    progress.say(
        f"latency is that in {where}: {LATENCY.show(table.dense)} dense, {LATENCY.show(fastest)} the fastest plan, "
        f"as predicted from its layers{end}"
    )
    check_possible(budget.on((LATENCY.name,)), costs.dense, costs.smallest(objective.decompositions.options))


def _table_of_another(study: Study, machine: str, worker: Worker) -> LatencyTable | None:
    """Return the table that another machine has measured, after a pause None; raises where no worker could be at it."""
    if (table := latency_table_of(study)) is None:
        if worker.exclusively(worker.is_alone):
            raise RankfrontError(
                f"the study's latencies are those of {machine}, which has not measured them yet: run it there first"
            )
        time.sleep(PAUSE_S)
    return table


def latency_table(
    objective: Objective, setting: EngineSetting, progress: Progress, budget: Budget = NO_BOUND
) -> LatencyTable:
    """Measure a prepared objective's network and its layers; raises `RankfrontError` where the engine refuses them."""
    engine, threads, task = setting.engine, setting.threads, objective.task
    inputs = inputs_of(task, setting.batch_size)
    dense = in_eval(on_cpu(copied(objective.dense)))
    progress(what := MEASURING.format(engine.label), 0, 1)
    own = engine.runner(in_eval(copied(task.model).cpu()), inputs, threads)
    start = engine.runner(dense, inputs, threads) if objective.found.rewrites else own
    noise = measure_pairs(own, own, seconds=PAIR_SECONDS)
    if noise.high - noise.low > NOISY:
        progress.say(
            f"warning: two passes of the same network take {noise.low:.2f} to {noise.high:.2f} times as long as each "
            f"other, in {noise.count:,} repeats: this machine does other work, and latencies are unsure"
        )
    whole, begun = least_seconds([own, start])
    calls = calls_of(dense, objective.layers, inputs)
    meter = LayerMeter(engine, threads, start, begun, objective.decompositions, count_params(dense), calls)
    table = meter.table(whole, functools.partial(progress, what))

    added = more_time(objective, setting, start, inputs)

    def is_slower(plan: Plan) -> bool:
        """Return whether a plan's identity blocks are no faster than plain factors; so, too, where it cannot run."""
        try:
            blocks = in_eval(on_cpu(objective.factorize(plan)))
            runners = [engine.runner(model, inputs, threads) for model in (blocks, in_eval(plain_form(blocks)))]
        except (RankfrontError, np.linalg.LinAlgError):
            return True
        return measure_pairs(*runners, seconds=PAIR_SECONDS).speedup >= 1

    if bounds_time_alone(budget):
        table = with_slower(table, objective.decompositions, is_slower)
        objective.decompositions.leave_out(table.slower)
    found = at_budget(with_factors(table, objective.decompositions, added), objective, budget, added)
    progress.finish(what)
    return found


def more_time(
    objective: Objective, setting: EngineSetting, start: Runner, inputs: Inputs
) -> Callable[[Plan], float | None]:
    """Return what tells how much more a plan's network takes than the dense one, as a share; None where it cannot run.

    Args:
        objective: prepared.
        setting: where and how it is measured.
        start: runs the dense network once, as it is saved.
        inputs: a batch's.
    """

    def added(plan: Plan) -> float | None:
        try:
            model = in_eval(on_cpu(objective.factorize(plan)))
            runner = setting.engine.runner(model, inputs, setting.threads)
        except (RankfrontError, np.linalg.LinAlgError):
            return None
        return 1 / measure_pairs(start, runner, seconds=PAIR_SECONDS).speedup - 1

    return added


def bounds_time_alone(budget: Budget) -> bool:
    """Return whether a budget bounds latency and no size: then an identity block, which saves size, must be as fast."""
    return bool(budget.on((LATENCY.name,)).bounds) and not budget.on((PARAMS.name, BYTES.name)).bounds


def at_budget(
    table: LatencyTable, objective: Objective, budget: Budget, added: Callable[[Plan], float | None]
) -> LatencyTable:
    """Return the table scaled so that the knapsack's plan at a budget on latency keeps it as measured.

    Who looks for the fastest plans finds those whose layers were measured too fast, so such plans save less than the
    table says. What the one at the budget saves less, all are taken to.

    Args:
        table: not scaled.
        objective: prepared; it is left with the last table's predictions.
        budget: one that does not bound latency leaves the table as it is.
        added: see `with_factors`.
    """
    costs = objective.costs
    for _ in range(ROUNDS if budget.on((LATENCY.name,)).bounds else 0):
        costs.predict(LATENCY.name, table.dense, PredictedLatency(table, objective.by_name))
        space = Space(candidates := Candidates.of(objective), budget.limits(costs.dense))
        if (choices := knapsack(candidates, space.limits)) is None:
            break
        predicted = candidates.exact_costs(choices, [LATENCY.name])[LATENCY.name] - table.start
        measured = added(space.plan(choices))
        if measured is None or predicted >= 0 or table.start * measured <= predicted:
            break
        table = replace(table, scale=max(LEAST_SCALE, table.scale * table.start * measured / predicted))
    return table
