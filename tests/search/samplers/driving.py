"""Stub studies that a sampler is driven through: made-up scores, no network."""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from rankfront import Plan
from rankfront.objectives.metrics.scale import Scale
from rankfront.search.samplers.asker import Asker
from rankfront.search.samplers.problem import Problem
from rankfront.search.samplers.registry import SAMPLERS
from rankfront.search.space.space import Space
from rankfront.search.storage.slots import SLOT, next_slot
from rankfront.search.storage.trials import SCORE, SCORE_BEFORE_FINETUNING
from tests.search.toys import LANDSCAPES, Landscape, toy_candidates, toy_space

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACES = {
    "tight": lambda: toy_space(0.35),
    "loose": lambda: toy_space(0.8),
    "two limits": lambda: _two_limits(),
    "no budget": lambda: Space(toy_candidates(), {}),
}
DIRECTIONS = {"one": ["maximize"], "two": ["maximize", "minimize"]}
UNEQUAL = LANDSCAPES["layers weigh unequally"]
QUICK = [name for name in SAMPLERS if name != "gp"]
"""`gp` takes seconds a study: it is tried once in each test."""


def _two_limits() -> Space:
    candidates = toy_candidates()
    return Space(candidates, {"params": 0.5 * candidates.dense["params"], "flops": 0.4 * candidates.dense["flops"]})


def crossed(*lists: Sequence[str]) -> list[tuple[str, ...]]:
    """Every sampler but `gp` × the given lists, and `gp` × the first of each."""
    product = [()]
    for names in (QUICK, *lists):
        product = [(*row, name) for row in product for name in names]
    return [*product, ("gp", *(names[0] for names in lists))]


SCORE_SCALE = Scale("score")
LOSS_SCALE = Scale("loss", higher_is_better=False)


def problem(
    space: Space,
    trials: int,
    seed: int = 0,
    landscape: Landscape = UNEQUAL,
    objectives: int = 2,
    scale: Scale = SCORE_SCALE,
) -> Problem:
    """What a sampler is told."""

    def before(plan: Plan) -> float:
        return sign(scale) * landscape.before(space.candidates, space.candidates.choices(plan))

    return Problem(space, seed, trials, before, before, scale, 0, ("params",)[: objectives - 1])


def sign(scale: Scale) -> int:
    return 1 if scale.higher_is_better else -1


def drive(
    study: optuna.Study,
    space: Space,
    sampler: object,
    total: int,
    seed: int = 0,
    trials: int = 0,
    landscape: Landscape = UNEQUAL,
    scale: Scale = SCORE_SCALE,
    told: Problem | None = None,
) -> list[tuple[int, ...]]:
    """Run a stub study; returns the choices of its trials."""
    told = told or problem(space, trials or total, seed, landscape, len(study.directions), scale)
    asker = Asker(study, told, sampler)
    proposals = []
    while (slot := next_slot(study)) < total:
        trial = study.ask()
        trial.set_user_attr(SLOT, slot)
        choices = asker.suggest(trial, slot)
        for metric, violation in space.violations(choices).items():
            trial.set_constraint(metric, violation)
        score = sign(scale) * landscape.score(space.candidates, choices)
        trial.set_user_attr(SCORE, score)
        trial.set_user_attr(SCORE_BEFORE_FINETUNING, sign(scale) * landscape.before(space.candidates, choices))
        study.tell(trial, [score, space.candidates.costs.of(space.plan(choices)).params][: len(study.directions)])
        proposals.append(tuple(choices.tolist()))
    return proposals


def ask(asker: Asker, slot: int) -> tuple[int, ...]:
    """Have one trial proposed, and leave it running."""
    trial = asker.study.ask()
    trial.set_user_attr(SLOT, slot)
    return tuple(asker.suggest(trial, slot).tolist())


def new_study(directions: Sequence[str]) -> optuna.Study:
    return optuna.create_study(directions=list(directions))
