"""Races of samplers on one model: what a trial and a race are, and on which models they run (see `search`)."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import platformdirs
import torch
from search_grounds import Ground, gain, ground_of, name_of, on_digits, perceptron, resnet, tabulated
from small_networks import DigitsTransformer, deep_network

from rankfront import Plan, Task
from rankfront.objectives.metrics.scale import ACCURACY
from rankfront.search.report.progress import Progress
from rankfront.search.results.front import area
from rankfront.search.samplers.asker import Asker
from rankfront.search.samplers.problem import Problem
from rankfront.search.samplers.sampler import Sampler
from rankfront.search.space.arrays import Array
from rankfront.search.storage.repeats import runs_of
from rankfront.search.storage.slots import SLOT, seed_for
from rankfront.search.storage.trials import SCORE, SCORE_BEFORE_FINETUNING
from rankfront.studies import digits, mnist_mlp

TRIALS = {"truth": 205, "digits": 30, "mnist-mlp": 20, "resnet": 12, "transformer": 16, "deep": 16, "shared": 12}
BOUNDS = {
    "truth": 0.30, "digits": 0.10, "mnist-mlp": 0.03, "resnet": 0.15, "transformer": 0.10, "deep": 0.10, "shared": 0.05,
}  # fmt: skip
"""Of the dense model's parameters."""

PARTS = (1.0, 0.5, 0.25)
"""Of the bound: where accuracy is reported."""


@dataclass(frozen=True)
class Trial:
    """One trial of a race; ``used`` is a share of the bound."""

    plan: str
    accuracy: float
    test: float
    used: float
    proposal: float
    """CPU seconds until it was proposed."""
    seconds: float
    """CPU seconds of all of it; as if no plan had been run before."""


@dataclass(frozen=True)
class Race:
    """One sampler's trials on one model."""

    model: str
    sampler: str
    seed: int
    trials: list[Trial]
    dense: float

    @cached_property
    def volumes(self) -> list[float]:
        """The hypervolume after each trial; of a plan's runs their mean counts."""
        found = []
        for n in range(1, len(self.trials) + 1):
            rows = self.trials[:n]
            runs = runs_of((t.plan, t.accuracy) for t in rows)
            gains = [gain(float(np.mean(runs[t.plan])), self.dense) for t in rows]
            found.append(area(np.array([t.used for t in rows]), np.array(gains)))
        return found

    @cached_property
    def clock(self) -> Array:
        """The CPU seconds after each trial."""
        return np.cumsum([trial.seconds for trial in self.trials])

    def volume_at(self, seconds: float) -> float:
        """Return the hypervolume after so many CPU seconds."""
        done = int((self.clock <= seconds * (1 + 1e-9)).sum())
        return self.volumes[done - 1] if done else 0.0

    @property
    def best_validation(self) -> float:
        """Return the best plan's mean validation accuracy within the bound."""
        inside = runs_of((t.plan, t.accuracy) for t in self.trials if t.used <= 1)
        return max((float(np.mean(scores)) for scores in inside.values()), default=0.0)

    def best(self, part: float) -> tuple[float, float]:
        """Return the validation and test accuracy, in %, of the plan that validation chooses in part of the bound."""
        inside = [t for t in self.trials if t.used <= part]
        if not inside:
            return float("nan"), float("nan")
        scores = runs_of((t.plan, t.accuracy) for t in inside)
        best = max(scores, key=lambda plan: float(np.mean(scores[plan])))
        return 100 * float(np.mean(scores[best])), 100 * float(np.mean([t.test for t in inside if t.plan == best]))


def race(
    ground: Ground, sampler: str | Sampler, seed: int, trials: int, workers: int = 1, *, front: bool = False
) -> Iterator[Trial]:
    """Yield a sampler's trials as they end; the n-th run of a plan is the same in all races of a seed.

    Args:
        ground: the model.
        sampler: a name, or the sampler itself.
        seed: of all that is random.
        trials: how many.
        workers: how many run at a time, each for a log-normal time (± 20 %): a proposal does not know their scores.
        front: whether the whole front is wanted, as by ``--focus front``.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, clock = ground.space, ground.memory.seconds
    study = optuna.create_study(directions=["maximize", "minimize"])
    scores = ground.factorized_score, ground.score_before_finetuning
    cost = ground.cost_before_finetuning
    problem = Problem(
        space, seed, trials, *scores, ACCURACY, ground.samples, ("params",), cost, front, ground.shares_weights
    )
    asker = Asker(study, problem, sampler)
    runs: Counter[str] = Counter()
    lengths = np.random.default_rng([seed, workers]).lognormal(0.0, 0.2, trials)
    under_way: list[tuple[float, int, Callable[[], Trial]]] = []
    now = 0.0
    for slot in range(trials):
        if len(under_way) == workers:
            now, _, end = heappop(under_way)
            yield end()
        began = clock()
        trial = study.ask()
        trial.set_user_attr(SLOT, slot)
        choices = asker.suggest(trial, slot)
        proposed = clock() - began
        plan = space.plan(choices)
        for metric, violation in space.violations(choices).items():
            trial.set_constraint(metric, violation)
        heappush(
            under_way, (now + lengths[slot], slot, partial(_ended, ground, study, trial, plan, seed, runs, proposed))
        )
    while under_way:
        yield heappop(under_way)[2]()


def _ended(
    ground: Ground,
    study: optuna.Study,
    trial: optuna.Trial,
    plan: Plan,
    seed: int,
    runs: Counter[str],
    proposed: float,
) -> Trial:
    """Run a trial, and tell the study."""
    space, clock = ground.space, ground.memory.seconds
    began, name = clock(), name_of(space, plan)
    score, test, before, tested = ground.run(plan, seed_for(seed, runs[name], "trial"))
    runs[name] += 1
    trial.set_user_attr(SCORE, score)
    trial.set_user_attr(SCORE_BEFORE_FINETUNING, before)
    params = space.candidates.costs.of(plan).params
    study.tell(trial, [score, params])
    return Trial(name, score, test, params / space.limits["params"], proposed, proposed + clock() - began - tested)


def race_of(known: Mapping[str, Any]) -> Race:
    """Return a race from its file's content."""
    trials = [Trial(**trial) for trial in known["trials"]]
    return Race(known["model"], known["sampler"], known["seed"], trials, known["dense"])


def ground_named(model: str, given: argparse.Namespace, progress: Progress) -> tuple[Ground, float | None]:
    """Return a model to race on, and the hypervolume of its true front where that is known."""
    torch.set_num_threads(1)  # so that its CPU time is the time it takes alone
    given.runs.mkdir(parents=True, exist_ok=True)
    tasks: dict[str, Callable[[], Task]] = {
        "truth": lambda: perceptron(given.data, progress),
        "digits": lambda: digits.study(progress=progress),
        "mnist-mlp": lambda: mnist_mlp.study(given.data, device="cpu", progress=progress),
        "resnet": lambda: resnet(given.images, progress),
        "transformer": lambda: on_digits(DigitsTransformer, "transformer", progress),
        "deep": lambda: on_digits(deep_network, "deep", progress),
        "shared": lambda: replace(digits.study(progress=progress), name="shared"),
    }
    sharing = (TRIALS[model], progress) if model == "shared" else None
    ground = ground_of(tasks[model](), BOUNDS[model], given.runs, 8 if model == "truth" else None, sharing)
    return tabulated(ground, progress) if model == "truth" else (ground, None)


def arguments(description: str, seeds: int) -> argparse.ArgumentParser:
    """Return what the command line takes: part, models, seeds and folders."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("part", choices=["run", "table"])
    parser.add_argument("--models", default=",".join(TRIALS))
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds MNIST")
    parser.add_argument("--images", type=Path, default=Path("data"), help="the folder that holds train/ and val/")
    parser.add_argument("--runs", type=Path, default=platformdirs.user_cache_path("rankfront") / "benchmark-search")
    return parser


def carry_out(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None], table: Callable[[Path], None]
) -> None:
    """Do the part of a benchmark that the command line names."""
    given = parser.parse_args()
    if given.part == "run":
        run(given)
    else:
        table(given.runs)
