"""The models that samplers race on (see `search.py` beside it)."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from small_networks import small_resnet
from torch import nn

from rankfront import FineTune, Plan, Split, Task
from rankfront.objectives.io.checkpoint import Checkpoint
from rankfront.objectives.io.files import write_text
from rankfront.objectives.io.fingerprint import fingerprint
from rankfront.objectives.objective import Objective
from rankfront.objectives.passes import cost_before_finetuning
from rankfront.objectives.shared import train_shared
from rankfront.search.report.progress import Progress
from rankfront.search.results.front import area
from rankfront.search.space.candidates import Candidates
from rankfront.search.space.space import Space
from rankfront.search.study.sharing import SHARE, SHARED, plans_to_train
from rankfront.studies import digits, mnist_mlp
from rankfront.studies.imagenette import crop_and_flip, imagenette, normalise
from rankfront.studies.training import Recipe, train_dense

CHANCE = 0.1
"""All the models have ten classes."""


class Outcome(NamedTuple):
    """What a trial comes to."""

    validation: float
    """Accuracy after fine-tuning."""
    test: float
    before: float | None
    """Validation accuracy before fine-tuning."""
    tested: float
    """CPU seconds of the test, which are not the trial's."""


@dataclass(frozen=True)
class Ground:
    """A model to race on."""

    space: Space
    dense: float
    """The dense model's validation accuracy."""
    run: Callable[[Plan, int], Outcome]
    """``(plan, seed)`` → what a trial comes to."""
    factorized_score: Callable[[Plan], float | None]
    score_before_finetuning: Callable[[Plan], float | None]
    samples: int
    cost_before_finetuning: float
    """See `passes.cost_before_finetuning`."""
    memory: Memory
    shares_weights: bool
    """Whether networks before fine-tuning have weights that all plans share (``--shared``)."""


def resnet(images: Path, progress: Progress) -> Task:
    """Return the small ResNet's task, trained on first use (minutes)."""
    x, y = imagenette(images, "train", 64, progress)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    held_out, kept = order[:1969], order[1969:]
    train = Split((x[kept], y[kept]), normalise, crop_and_flip)
    torch.manual_seed(0)
    recipe = Recipe(16, 0.1, 128, "sgd", "warm cosine", weight_decay=5e-4)
    model = train_dense(small_resnet(), train, recipe, name="benchmark-resnet", seed=0, progress=progress)
    return Task(
        model,
        train,
        Split((x[held_out], y[held_out]), normalise),
        Split(imagenette(images, "val", 64, progress), normalise),
        name="resnet",
        finetune=FineTune(steps=30, lr=1e-3, batch_size=128),
        calibration=512,
    )


def on_digits(network: Callable[[], nn.Module], name: str, progress: Progress) -> Task:
    """Return the task of another network on the data of the ready study ``digits``, trained on first use (seconds)."""
    task = digits.study(progress=progress)
    torch.manual_seed(0)
    recipe = Recipe(60, 1e-3, 64, schedule="cosine")
    model = train_dense(network(), task.train, recipe, name=f"benchmark-{name}", seed=0, progress=progress)
    return replace(task, model=model, name=name)


def perceptron(data: Path, progress: Progress) -> Task:
    """Return the task of ``truth``, trained on first use (seconds)."""
    x, y = mnist_mlp.mnist(data, train=True)
    train = Split((x[:5000], y[:5000]))
    torch.manual_seed(0)
    widths = (784, 64, 64, 64, 10)
    parts = [part for pair in itertools.pairwise(widths) for part in (nn.Linear(*pair), nn.ReLU())]
    model = train_dense(
        nn.Sequential(*parts[:-1]), train, Recipe(10, 2e-3), name="benchmark-truth", seed=0, progress=progress
    )
    return Task(
        model,
        train,
        (x[-5000:], y[-5000:]),
        mnist_mlp.mnist(data, train=False),
        name="truth",
        kinds=("svd",),
        finetune=FineTune(epochs=1, lr=2e-3, batch_size=100),
        calibration=1000,
    )


def thinned(candidates: Candidates, count: int) -> Candidates:
    """Return the same layers with so many of their options each, the first and dense among them, dense where small."""
    rows = []
    for size in candidates.sizes.tolist():
        row = [0]
        for left in range(count - 1, 0, -1):  # the rest evenly in their logarithm, none twice
            row.append(max(row[-1] + 1, round((row[-1] + 1) * (size / (row[-1] + 1)) ** (1 / left)) - 1))
        rows.append(np.array(row))
    return replace(
        candidates,
        options=tuple(tuple(o[i] for i in row) for o, row in zip(candidates.options, rows, strict=True)),
        **{
            name: np.stack([getattr(candidates, name)[layer, row] for layer, row in enumerate(rows)])
            for name in ("importance", "relative_errors", "bottleneck_penalties", "changes")
        },
    )


@dataclass
class Memory:
    """What was computed before, by key, with the CPU seconds that it took: no plan is trained twice from one seed."""

    path: Path
    spared: float = 0.0
    """CPU seconds that were not spent, since something was known."""

    def __post_init__(self) -> None:
        self.known: dict[str, tuple[Any, float]] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def __call__(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return what is known, or compute it."""
        if key in self.known:
            value, seconds = self.known[key]
            self.spared += seconds
            return value
        began = time.process_time()
        value = compute()
        self.known[key] = value, time.process_time() - began
        if len(self.known) % 20 == 0:
            self.save()
        return value

    def seconds(self) -> float:
        """Return CPU seconds on a clock that runs as if nothing were known."""
        return time.process_time() + self.spared

    def save(self) -> None:
        """Write the file."""
        write_text(self.path, json.dumps(self.known))


def share_weights(objective: Objective, space: Space, trials: int, path: Path, progress: Progress) -> None:
    """Train the weights that all plans share, as a study of so many trials does."""
    train_shared(
        objective,
        *plans_to_train(space, 0),
        steps=round(SHARE * trials * objective.task.finetune.total_steps(objective.task.train)),
        seed=0,
        checkpoint=Checkpoint(path, objective.identity["dense model"]),
        progress=partial(progress, SHARED),
        note=progress.say,
    )


def ground_of(
    task: Task, share: float, cache: Path, choices: int | None = None, sharing: tuple[int, Progress] | None = None
) -> Ground:
    """Return the ground for a task.

    Args:
        task: to race on.
        share: the bound, of the dense model's parameters.
        cache: a folder for what is computed.
        choices: of each layer, thinned to so many; None: all.
        sharing: where all plans share weights, the trials of a study and what shows the training's progress.
    """
    device = torch.device("cpu")
    objective = Objective(task, device=device, cache=cache / "decompositions", nested=sharing is not None)
    objective.prepare()
    candidates = Candidates.of(objective)
    if choices is not None:
        candidates = thinned(candidates, choices)
    space = Space(candidates, {"params": share * candidates.costs.dense.params})
    if sharing is not None:
        share_weights(objective, space, sharing[0], cache / f"{task.name}.safetensors", sharing[1])
    memory = Memory(cache / f"{task.name} {fingerprint({}, task.finetune)[:8]}.json")

    def run(plan: Plan, seed: int) -> Outcome:
        def trial() -> Outcome:
            outcome = objective(plan, seed)
            began = time.process_time()
            test = objective.score(outcome.model, "test")
            return Outcome(outcome.score, test, outcome.score_before_finetuning, time.process_time() - began)

        return Outcome(*memory(f"{name_of(space, plan)} {seed}", trial))

    found = objective.scored(objective.dense)
    return Ground(
        space,
        found.score,
        run,
        lambda plan: memory(f"{name_of(space, plan)} factorized", lambda: objective.factorized_score(plan)),
        lambda plan: memory(f"{name_of(space, plan)} before", lambda: objective.score_before_finetuning(plan)),
        found.samples,
        cost_before_finetuning(task, None if objective.shared is None else objective.shared.part.size),
        memory,
        objective.shared is not None,
    )


def tabulated(ground: Ground, progress: Progress) -> tuple[Ground, float]:
    """Return the ground with one outcome for every plan, whatever the seed, and its true hypervolume."""
    space = ground.space
    names, options = space.candidates.names, space.candidates.options
    plans = [Plan(dict(zip(names, o, strict=True))) for o in itertools.product(*options)]
    inside = [plan for plan in plans if space.fits(space.candidates.choices(plan))[0]]
    gains = []
    for done, plan in enumerate(inside):
        gains.append(gain(ground.run(plan, 0).validation, ground.dense))
        progress("every plan of truth", done + 1, len(inside))
    ground.memory.save()
    used = [space.candidates.costs.of(plan).params / space.limits["params"] for plan in inside]
    volume = area(np.array(used), np.array(gains))
    print(f"truth: {len(inside)} of {len(plans)} plans keep the bound; their front's hypervolume is {volume:.4f}")
    return replace(ground, run=lambda plan, seed: ground.run(plan, 0)), volume


def name_of(space: Space, plan: Plan) -> str:
    """Return a plan's name: the places of its choices."""
    return "-".join(map(str, space.candidates.choices(plan)))


def gain(score: float, dense: float) -> float:
    """Return an accuracy on a scale from chance, 0, to the dense model, 1."""
    return max(0.0, (score - CHANCE) / (dense - CHANCE))
