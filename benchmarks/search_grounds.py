"""The models that samplers race on (see `search.py` beside it)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rankfront import FineTune, Plan, Split, Task
from rankfront.objectives.io.files import write_text
from rankfront.objectives.objective import Objective
from rankfront.search.report.progress import Progress
from rankfront.search.results.front import area
from rankfront.search.space.candidates import Candidates
from rankfront.search.space.space import Space
from rankfront.studies import mnist_mlp
from rankfront.studies.imagenette import crop_and_flip, imagenette, normalise
from rankfront.studies.training import Recipe, train_dense

CHANCE = 0.1
"""All the models have ten classes."""


@dataclass(frozen=True)
class Ground:
    """A model to race on."""

    space: Space
    dense: float
    """The dense model's validation accuracy."""
    run: Callable[[Plan, int], tuple[float, float, float | None]]
    """``(plan, seed)`` → validation and test accuracy after fine-tuning, validation accuracy before."""
    factorized_score: Callable[[Plan], float]
    score_before_finetuning: Callable[[Plan], float | None]
    samples: int


class Block(nn.Module):
    """Two 3×3 convolutions and a way around them, ``(N, in, H, W) → (N, out, H / stride, W / stride)``."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.around = nn.Identity() if stride == 1 else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + self.around(x))


def small_resnet() -> nn.Module:
    """Return a ResNet of six blocks, ``(N, 3, 64, 64) → (N, 10)``."""
    stem = [nn.Conv2d(3, 32, 5, 2, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    shapes = [(32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 1)]
    return nn.Sequential(
        *stem, *(Block(*shape) for shape in shapes), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)
    )


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


def ground_of(task: Task, share: float, cache: Path, choices: int | None = None) -> Ground:
    """Return the ground for a task."""
    objective = Objective(task, device=torch.device("cpu"), cache=cache / "decompositions")
    objective.prepare()
    candidates = Candidates.of(objective)
    if choices is not None:
        candidates = thinned(candidates, choices)

    def run(plan: Plan, seed: int) -> tuple[float, float, float | None]:
        outcome = objective(plan, seed)
        return outcome.score, objective.score(outcome.model, "test"), outcome.score_before_finetuning

    found = objective.scored(objective.dense)
    return Ground(
        Space(candidates, {"params": share * candidates.costs.dense.params}),
        found.score,
        run,
        lambda plan: objective.score(objective.factorize(plan)),
        objective.score_before_finetuning,
        found.samples,
    )


def tabulated(ground: Ground, cache: Path, progress: Progress) -> tuple[Ground, float]:
    """Return the ground with every plan's outcome looked up in a table, and its true hypervolume.

    The table is made where it is not there.
    """
    space, path = ground.space, cache / "truth.json"
    found: dict[str, tuple[float, float, float | None, float]] = json.loads(path.read_text()) if path.exists() else {}
    names, options = space.candidates.names, space.candidates.options
    plans = [Plan(dict(zip(names, o, strict=True))) for o in itertools.product(*options)]
    for done, plan in enumerate(plans):
        if (key := name_of(space, plan)) not in found:
            found[key] = (*ground.run(plan, 0), ground.factorized_score(plan))
            if done % 100 == 99:
                write_text(path, json.dumps(found))
        progress("every plan of truth", done + 1, len(plans))
    write_text(path, json.dumps(found))
    inside = [plan for plan in plans if space.fits(space.candidates.choices(plan))[0]]
    used = [space.candidates.costs.of(plan).params / space.limits["params"] for plan in inside]
    gains = [gain(found[name_of(space, plan)][0], ground.dense) for plan in inside]
    volume = area(np.array(used), np.array(gains))
    print(f"truth: {len(inside)} of {len(plans)} plans keep the bound; their front's hypervolume is {volume:.4f}")

    def of(plan: Plan) -> tuple[float, float, float | None, float]:
        return found[name_of(space, plan)]

    looked_up = replace(
        ground,
        run=lambda plan, seed: of(plan)[:3],
        score_before_finetuning=lambda plan: of(plan)[2],
        factorized_score=lambda plan: of(plan)[3],
    )
    return looked_up, volume


def name_of(space: Space, plan: Plan) -> str:
    """Return a plan's name: the places of its choices."""
    return "-".join(map(str, space.candidates.choices(plan)))


def gain(score: float, dense: float) -> float:
    """Return an accuracy on a scale from chance, 0, to the dense model, 1."""
    return max(0.0, (score - CHANCE) / (dense - CHANCE))
