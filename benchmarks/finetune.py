"""What a longer fine-tune of one plan comes to by several recipes: ``uv run python benchmarks/finetune.py PART …``.

- ``run MODEL --data DIR --runs DIR``: every recipe, a JSON file each; the same command goes on with those that are not
  there; ``--recipes`` takes some of them.
- ``table --runs DIR``: writes ``docs/benchmarks/finetune.md`` from these files, whatever of them there is.

The plan is the knapsack's within the budget, refitted by blocks. The network is fine-tuned on the training split, and
the epoch with the best validation accuracy is kept, as `rankfront finish` does it; the test split chooses nothing.
*EMA* is an exponential moving average of the weights (0.99 a step), validated beside the weights themselves in the same
run. *Features*: the mean squared difference of the blocks' outputs to the dense model's, relative to their variance, is
added to the loss.
"""

from __future__ import annotations

import argparse
import copy
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from sections import sections_of
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook
from where_and_when import where_and_when

from rankfront import Task
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.data.structure import apply
from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.objectives.model.mode import in_mode
from rankfront.objectives.objective import Objective
from rankfront.objectives.training.blocks import blocks_of
from rankfront.objectives.training.finetune import finetune
from rankfront.objectives.training.loss import mixed_loss
from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.report.progress import Progress
from rankfront.search.space.candidates import Candidates
from rankfront.studies import digits, mnist_mlp, resnet18_imagenette

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "finetune.md"
EMA = 0.99
"""The share of an average that a step keeps; less at first, as much as the steps before it are worth."""


@dataclass(frozen=True)
class Ground:
    """A model, the budget of its plan, and for how many epochs it is fine-tuned."""

    task: Callable[[Path], Task]
    budget: Mapping[str, float]
    epochs: int


def _mnist_mlp(data: Path) -> Task:
    return mnist_mlp.study(data, device="cpu")


def _resnet18(data: Path) -> Task:
    return resnet18_imagenette.study(data, device="cpu", image_size=64)


GROUNDS = {
    "digits": Ground(lambda data: digits.study(), {"params": 0.05}, 20),
    "mnist-mlp": Ground(_mnist_mlp, {"params": 0.02}, 10),
    "resnet18-imagenette": Ground(_resnet18, {"params": 0.15, "flops": 0.30}, 5),
    "digits, a trial": Ground(lambda data: digits.study(), {"params": 0.03}, 4),
    "mnist-mlp, a trial": Ground(_mnist_mlp, {"params": 0.02}, 1),
    "mnist-mlp, a trial at half": Ground(_mnist_mlp, {"params": 0.01}, 1),
}
"""*A trial* has the epochs of a study's trial."""


@dataclass(frozen=True)
class Variant:
    """A recipe: what differs from the study's own, and the weight of the blocks' features in the loss."""

    title: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    features: float = 0.0


VARIANTS = {
    "own": Variant("the study's own"),
    **{f"lr {rate:g}": Variant(f"AdamW at {rate:g}", {"lr": rate}) for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)},
    **{f"sgd {rate:g}": Variant(f"SGD at {rate:g}", {"lr": rate, "optimizer": "sgd"}) for rate in (1e-2, 1e-1)},
    "labels": Variant("labels alone, without the dense model's outputs", {"distill": 0.0}),
    "distill": Variant("the dense model's outputs alone, at a temperature of 4", {"distill": 1.0, "temperature": 4.0}),
    "features": Variant("the study's own, and the blocks' features", {}, 0.3),
}


class Averaged:
    """A model whose weights are the moving average of another's, followed at every optimizer step."""

    def __init__(self, model: nn.Module) -> None:
        self.followed, self.model, self.steps = model, copy.deepcopy(model), 0

    @torch.no_grad()
    def step(self, *_: object) -> None:
        """Follow."""
        self.steps += 1
        kept = min(EMA, (1 + self.steps) / (10 + self.steps))
        for ours, theirs in zip(self.model.state_dict().values(), self.followed.state_dict().values(), strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs, 1 - kept)
            else:
                ours.copy_(theirs)


class Features:
    """How far the outputs of a network's blocks are from the dense model's on the same inputs."""

    def __init__(self, model: nn.Module, dense: nn.Module, layers: list[str]) -> None:
        self.dense, self.ours, self.theirs = dense, dict[str, Tensor](), dict[str, Tensor]()
        for path in blocks_of(dense, layers):
            for which, kept in ((model, self.ours), (dense, self.theirs)):
                which.get_submodule(path).register_forward_hook(functools.partial(self._keep, kept, path))

    def _keep(self, kept: dict[str, Tensor], path: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        kept[path] = output

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over blocks; the network's own pass on the batch was its last."""
        ours = dict(self.ours)
        with torch.no_grad(), in_mode(self.dense, training=False):
            apply(self.dense, batch.inputs)
        parts = [
            functional.mse_loss(ours[path], kept) / kept.var().clamp_min(1e-9) for path, kept in self.theirs.items()
        ]
        return torch.stack(parts).mean()


def measured(name: str, variant: Variant, data: Path, cache: Path, progress: Progress) -> dict[str, Any]:
    """Return the scores after every epoch, of the weights and of their average, and the CPU seconds of it all."""
    torch.set_num_threads(1)
    ground = GROUNDS[name]
    task = ground.task(data)
    objective = Objective(task, device=torch.device("cpu"), cache=cache)
    objective.prepare(progress)
    candidates = Candidates.of(objective)
    choices = knapsack(
        candidates, {metric: share * candidates.dense[metric] for metric, share in ground.budget.items()}
    )
    assert choices is not None
    model, _ = objective.started(candidates.plan(choices), "block")
    by = replace(task.finetune, epochs=ground.epochs, steps=None, **variant.changed)
    base = functools.partial(mixed_loss, loss=task.criterion, soft=objective.soft, by=by)
    features = Features(model, objective.dense, list(objective.by_name)) if variant.features else None
    averaged, epochs, began = Averaged(model), list[dict[str, Any]](), time.process_time()

    def loss(outputs: Any, batch: Batch) -> Tensor:
        added = variant.features * features.loss(batch) if features else 0.0
        return base(outputs, batch) + added

    def validate(which: nn.Module) -> float:
        spent = time.process_time() - began - sum(epoch["scoring"] for epoch in epochs)
        scores = {
            what: [objective.score(each, split) for split in ("validation", "test")]
            for what, each in (("weights", which), ("average", averaged.model))
        }
        scoring = time.process_time() - began - spent - sum(epoch["scoring"] for epoch in epochs)
        epochs.append({**scores, "seconds": spent, "scoring": scoring})
        return task.score.scale.minimised(scores["weights"][0])

    hook = register_optimizer_step_post_hook(averaged.step)
    try:
        finetune(
            model,
            task.train,
            loss,
            validate,
            by,
            seed=0,
            device=torch.device("cpu"),
            progress=lambda step, total: progress(f"{name}, {variant.title}", step, total),
            frozen=objective.frozen_norms,
        )
    finally:
        hook.remove()
    dense = [objective.score(objective.dense, split) for split in ("validation", "test")]
    return {"model": name, "title": variant.title, "dense": dense, "epochs": epochs, "known": where_and_when()}


def table(runs: Path) -> None:
    """Write the page of all recipes that there are; a model none of them is of stays as it stands."""
    before = sections_of(PAGE)
    lines = ["# Recipes of a fine-tune", "", "Written by `benchmarks/finetune.py table`; do not edit.", ""]
    lines += ["The plan is" + (__doc__ or "").partition("The plan is")[2].rstrip(), ""]
    for name, ground in GROUNDS.items():
        files = {key: runs / f"finetune {name} {key}.json" for key in VARIANTS}
        found = {key: read_json(path) for key, path in files.items() if path.exists()}
        if not found:
            lines += before.get(name) or [f"## {name}", "", "Not run yet.", ""]
            continue
        lines += [f"## {name}", ""]
        any_one = next(iter(found.values()))
        known, start = any_one["known"], any_one["epochs"][0]["weights"]
        budget = ", ".join(f"{metric} {100 * share:g} %" for metric, share in ground.budget.items())
        lines += [
            f"Accuracy in %, validation / test. Dense {_pair(any_one['dense'])}; before fine-tuning {_pair(start)}, at "
            f"{budget}. {ground.epochs} epochs. {known['date']}, {known['machine']}, commit {known['commit']}.",
            "",
            "| recipe | after 1 epoch | best | its EMA's best | CPU seconds |",
            "|---|---|---|---|---|",
        ]
        for one in found.values():
            epochs = one["epochs"][1:]
            best = {
                what: max((epoch[what] for epoch in epochs), key=lambda pair: pair[0])
                for what in ("weights", "average")
            }
            seconds = f"{one['epochs'][-1]['seconds']:.0f}"
            cells = [one["title"], _pair(epochs[0]["weights"]), _pair(best["weights"]), _pair(best["average"]), seconds]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    write_text(PAGE, "\n".join(lines))


def _pair(scores: list[float]) -> str:
    return " / ".join(f"{100 * score:.1f}" for score in scores)


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=["run", "table"])
    parser.add_argument("model", nargs="?", choices=list(GROUNDS))
    parser.add_argument("--data", type=Path, default=Path("data"), help="as for `rankfront run STUDY`")
    parser.add_argument("--runs", type=Path, default=Path("runs") / "benchmark-finetune")
    parser.add_argument("--recipes", default=",".join(VARIANTS))
    given = parser.parse_args()
    if given.part == "table":
        table(given.runs)
        return
    if given.model is None:
        parser.error("run needs a model")
    given.runs.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        for key in given.recipes.split(","):
            path = given.runs / f"finetune {given.model} {key}.json"
            if not path.exists():
                cache = given.runs / f"{given.model}-decompositions"
                write_json(path, measured(given.model, VARIANTS[key], given.data, cache, progress))


if __name__ == "__main__":
    main()
