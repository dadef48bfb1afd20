"""ResNet-18 on Imagenette: ``uv run python benchmarks/resnet18_imagenette.py PART --data DIR --image-size 64``.

Parts, each by itself:

- ``untrained``: accuracy without any fine-tuning, for each kind alone and all together, with and without refit,
  beside plain SVD at equal ranks; prints a table, and draws it with ``--picture FILE.html``.
- ``published``: the run others report: ``layer1[0].conv1`` and ``.conv2`` at rank 8, from random weights, 5 epochs
  of SGD at 0.001, momentum 0.9, batches of 32, on whole images without augmentation; and the same network for as many
  epochs by another recipe. Interrupted, it goes on.
- ``overhead``: what identity blocks' small operations cost in time, in pairs, as ratios.

Figures are accuracies in % on Imagenette's ``val``; nothing is chosen by them. Tables are Markdown.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import plotly.graph_objects as go
import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from rankfront import Choice, FineTune, Plan, Split, Task
from rankfront.objectives.device import choose_device
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.metrics.evaluation import evaluate
from rankfront.objectives.metrics.score import ACCURACY
from rankfront.objectives.objective import Objective
from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.report.progress import Progress
from rankfront.search.space.candidates import Candidates
from rankfront.search.space.space import Space
from rankfront.studies.imagenette import crop_and_flip, imagenette
from rankfront.studies.resnet18_imagenette import HELD_OUT, network, study
from rankfront.studies.training import Recipe, train_dense

SHARES = (0.7, 0.5, 0.35, 0.25, 0.15, 0.10)
UNTRAINED = FineTune(epochs=0)


def prepared(task: Task, device: torch.device, cache: Path) -> Objective:
    """Return the task's objective, calibrated and decomposed."""
    objective = Objective(task, device=device, cache=cache)
    objective.prepare()
    return objective


def equal_ranks(objective: Objective, share: float) -> Plan:
    """Return the same fraction of the full rank in every layer, the largest that keeps ``share`` of the parameters."""
    full = {name: KINDS["svd"].full_rank(layer) for name, layer in objective.by_name.items()}

    def plan(fraction: float) -> Plan:
        ranks = {name: max(1, round(fraction * int(r))) for name, r in full.items() if isinstance(r, int)}
        return Plan({name: Choice("svd", rank) for name, rank in ranks.items()})

    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        fits = objective.costs.of(plan(middle)).params <= share * objective.costs.dense.params
        low, high = (middle, high) if fits else (low, middle)
    return plan(low)


def untrained(task: Task, device: torch.device, cache: Path, picture: Path | None) -> None:
    """Print accuracies without fine-tuning."""
    rows: dict[str, list[float]] = {}
    dense = 0.0
    print("| kinds | " + " | ".join(f"{100 * share:g} %" for share in SHARES) + " |")
    print("|---|" + "---|" * len(SHARES), flush=True)

    def tell(name: str, values: list[float]) -> None:
        rows[name] = values
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + " |", flush=True)

    def test(objective: Objective, model: nn.Module) -> float:
        return 100 * objective.score(model.to(device), "test")

    plain = prepared(replace(task, kinds=("svd",), whiten=False), device, cache)
    tell("plain SVD, equal ranks", [test(plain, plain.factorize(equal_ranks(plain, s))) for s in SHARES])
    for name, kinds in [*((kind, (kind,)) for kind in KINDS), ("all kinds", tuple(KINDS))]:
        objective = prepared(replace(task, kinds=kinds), device, cache)
        dense = dense or test(objective, objective.dense)
        candidates = Candidates.of(objective)
        found = [knapsack(candidates, {"params": share * objective.costs.dense.params}) for share in SHARES]
        kept = [Space(candidates, {}).plan(choices) for choices in found if choices is not None]
        assert len(kept) == len(SHARES)
        tell(name, [test(objective, objective.factorize(plan)) for plan in kept])
        trial = [test(objective, objective(plan, 0, finetune_by=UNTRAINED).model) for plan in kept]
        tell(f"{name}, refitted", trial)
    print(f"\ndense: {dense:.1f}")
    if picture is not None:
        draw(rows, dense).write_html(picture, include_plotlyjs=True, config={"displayModeBar": False})


def draw(rows: dict[str, list[float]], dense: float) -> go.Figure:
    """Draw accuracy over the share of parameters, a line a row; refitted ones solid, others dotted."""
    figure = go.Figure()
    names = list(dict.fromkeys(name.removesuffix(", refitted") for name in rows))
    colors = ["#999999", "#1f77b4", "#17becf", "#2ca02c", "#98df8a", "#ff7f0e", "#9467bd", "#d62728"]
    for name, values in rows.items():
        base = name.removesuffix(", refitted")
        line = {"color": colors[names.index(base)], "dash": "solid" if name != base else "dot"}
        figure.add_scatter(x=[100 * s for s in SHARES], y=values, name=name, line=line, mode="lines+markers")
    figure.add_hline(dense, line={"color": "black", "width": 1}, annotation_text="dense")
    figure.update_layout(template="plotly_white", width=900, height=460, font={"size": 14}, margin={"t": 20})
    figure.update_xaxes(title="parameters kept, % of the dense model", type="log", tickvals=[100 * s for s in SHARES])
    # From where the kinds differ; equal ranks fall out of it.
    least = min(min(values) for name, values in rows.items() if name != "plain SVD, equal ranks")
    figure.update_yaxes(title="test accuracy without fine-tuning, %", range=[least - 3, dense + 2])
    return figure


def published(data: Path, size: int, device: torch.device, progress: Progress) -> None:
    """Train the published factorized network from random weights, as published and by this project's own recipe."""

    def normalise(images: Tensor) -> Tensor:
        return (images.float() / 255 - 0.5) / 0.5

    x, y = imagenette(data, "train", size, progress)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    kept = x[order[HELD_OUT:]], y[order[HELD_OUT:]]
    whole, crops = Split(kept, normalise), Split(kept, normalise, crop_and_flip)
    splits = (
        Split((x[order[:HELD_OUT]], y[order[:HELD_OUT]]), normalise),
        Split(imagenette(data, "val", size, progress), normalise),
    )
    plan = Plan({name: Choice("svd", 8) for name in ("layer1.0.conv1", "layer1.0.conv2")})
    print("| 5 epochs, layer1[0].conv1 and .conv2 at rank 8 | validation | test |\n|---|---|---|", flush=True)
    for name, recipe, train in (
        ("as published (64.79 there): SGD at 0.001, batches of 32, whole images", Recipe(5, 1e-3, 32, "sgd"), whole),
        (
            "SGD at 0.05, rising and falling, batches of 64, random crops",
            Recipe(5, 0.05, 64, "sgd", "warm cosine", weight_decay=5e-4),
            crops,
        ),
    ):
        torch.manual_seed(0)
        task = Task(network(), train, *splits, kinds=("svd",), whiten=False, sensitivity="none", calibration=32)
        objective = Objective(task, device=device)
        objective.prepare()
        model = train_dense(
            objective.factorize(plan), train, recipe, name="published", seed=0, device=device, progress=progress
        ).to(device)
        scores = [100 * evaluate(model, split, ACCURACY, device=device).score for split in splits]
        print(f"| {name} | {scores[0]:.2f} | {scores[1]:.2f} |", flush=True)


def overhead(task: Task, device: torch.device, cache: Path) -> None:
    """Time whole networks with and without identity blocks at the same ranks, batches of 64, in pairs."""
    objective = prepared(replace(task, kinds=("svd", "svd-identity", "spatial", "spatial-identity")), device, cache)
    inputs = next(iter(task.test.batches(64, device=device))).inputs
    print("| plan | params | flops | time, of dense | identity / plain |\n|---|---|---|---|---|")

    def timed(model: nn.Module) -> float:
        timer = Timer("with torch.no_grad(): model(inputs)", globals={"model": model, "inputs": inputs, "torch": torch},
                      num_threads=torch.get_num_threads())  # fmt: skip
        return timer.blocked_autorange(min_run_time=1).median

    for base in ("svd", "spatial"):
        for share in (0.5, 0.25):
            alone = replace(task, kinds=(f"{base}-identity",))
            candidates = Candidates.of(prepared(alone, device, cache))
            choices = knapsack(candidates, {"params": share * objective.costs.dense.params})
            assert choices is not None
            chosen = Space(candidates, {}).plan(choices)
            ranks = {name: c.rank if not isinstance(c.rank, tuple) else c.rank[0] for name, c in chosen.items()}
            plain = Plan({name: Choice(base, rank) for name, rank in ranks.items() if rank is not None})
            models = [objective.factorize(p).to(device).eval() for p in (plain, chosen)]
            ratios, times = [], []
            for _ in range(5):
                dense, *pair = (timed(m) for m in (objective.dense, *models))
                times.append([t / dense for t in pair])
                ratios.append(pair[1] / pair[0])
            for name, plan, column in ((base, plain, 0), (f"{base}-identity", chosen, 1)):
                cost = objective.costs.of(plan)
                kept = [100 * getattr(cost, m) / getattr(objective.costs.dense, m) for m in ("params", "flops")]
                ratio = f"{sorted(ratios)[2]:.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if column else ""
                print(
                    f"| {name} | {kept[0]:.1f} % | {kept[1]:.1f} % | {sorted(t[column] for t in times)[2]:.2f} "
                    f"| {ratio} |",
                    flush=True,
                )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("part", choices=["untrained", "published", "overhead"])
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds train/ and val/")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", type=Path, help="where decompositions are kept")
    parser.add_argument("--picture", type=Path, help="where the page of `untrained` goes")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    machine = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    print(
        f"{date.today()}, {machine}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{arguments.image_size} px\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.cache or Path(folder)
        with Progress() as progress:
            if arguments.part == "published":
                published(arguments.data, arguments.image_size, device, progress)
                return
            task = study(arguments.data, device=arguments.device, image_size=arguments.image_size, progress=progress)
        if arguments.part == "untrained":
            untrained(task, device, cache, arguments.picture)
        else:
            overhead(task, device, cache)


if __name__ == "__main__":
    main()
