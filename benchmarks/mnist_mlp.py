"""The classic MNIST table, reproduced and beaten: ``uv run python benchmarks/mnist_mlp.py --data DIR``.

The dense model is the study ``mnist-mlp``'s (trained on first use, cached). Everything is measured on
the 10,000 test images; whatever is chosen (epochs, winners) is chosen on the 5,000 held out from the
training images. Prints Markdown, as it stands in docs/benchmarks/mnist.md.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from rankfront import DENSE, Choice, FineTune, Plan, Task, run
from rankfront.objectives.objective import Objective
from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.report.progress import Progress
from rankfront.search.space.candidates import Candidates
from rankfront.search.space.space import Space
from rankfront.studies.mnist_mlp import study

PUBLISHED = {10: "67.9–74.5", 20: "94–95", 30: "97–97.6", 40: "97–97.6", 50: "98.1", 1024: "98.5"}
"""Same rank D in every hidden layer, plain SVD, no fine-tuning: what others report."""

BUDGETS = (0.043, 0.03, 0.02, 0.015)
TRIALS = 40
UNTRAINED = FineTune(epochs=0)
"""No training, but the refit."""
FINAL = FineTune(epochs=5, lr=2e-3)


def prepared(task: Task) -> Objective:
    """Return the task's objective, calibrated and decomposed."""
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    return objective


def equal_ranks(objective: Objective, rank: int) -> Plan:
    """Return the same rank in every hidden layer, the last layer dense; at full rank where it is larger."""
    *hidden, last = objective.by_name.values()
    ranks = {layer.name: Choice("svd", min(rank, layer.in_features, layer.out_features)) for layer in hidden}
    return Plan({**ranks, last.name: DENSE})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds MNIST")
    parser.add_argument("--trials", type=int, default=TRIALS, help="trials of each search")
    arguments = parser.parse_args()
    with Progress() as progress:
        # The published rows are of plain two-factor layers, so these are too.
        task = replace(study(arguments.data, device="cpu", progress=progress), kinds=("svd",), refit=False)
    whitened, plain = prepared(task), prepared(replace(task, whiten=False))
    refitted = prepared(replace(task, refit=True))
    dense = whitened.costs.dense.params

    def tested(objective: Objective, plan: Plan, finetune: FineTune | None = None) -> str:
        if finetune is None:
            return f"{100 * objective.score(objective.factorize(plan), 'test'):.2f}"
        return f"{100 * objective.score(objective(plan, 0, finetune_by=finetune).model, 'test'):.2f}"

    print(
        f"{date.today()}, {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}; dense model: {dense:,} parameters, "
        f"test accuracy {100 * whitened.score(whitened.dense, 'test'):.2f} %\n",
        flush=True,
    )
    print("| same rank D in every hidden layer | params | published | plain SVD | whitened |")
    print("|---|---|---|---|---|")
    for rank, published in PUBLISHED.items():
        plan = equal_ranks(plain, rank)
        share = 100 * plain.costs.of(plan).params / dense
        print(
            f"| D = {rank}, no fine-tuning | {share:.1f} % | {published} "
            f"| {tested(plain, plan)} | {tested(whitened, plan)} |",
            flush=True,
        )
    plan, finetune = equal_ranks(plain, 20), FineTune(epochs=3, lr=2e-3)
    print(
        f"| D = 20, fine-tuned (here 3 epochs) | {100 * plain.costs.of(plan).params / dense:.1f} % | 98.0 "
        f"| {tested(plain, plan, finetune)} | {tested(whitened, plan, finetune)} |\n",
        flush=True,
    )

    search = f"search: {arguments.trials} one-epoch trials"
    print(
        f"| rankfront, at most | knapsack, as is | refitted | after 3 epochs | {search} | then 5 epochs | ranks found |"
    )
    print("|---|---|---|---|---|---|---|")
    candidates = Candidates.of(whitened)
    for share in BUDGETS:
        choices = knapsack(candidates, {"params": share * dense})
        assert choices is not None
        plan = Space(candidates, {}).plan(choices)
        row = [
            f"{100 * share:g} % of the parameters",
            tested(whitened, plan),
            tested(refitted, plan, UNTRAINED),
            tested(whitened, plan, finetune),
        ]
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as out:
            result = run(
                task, budget=f"params={100 * share:g}%", trials=arguments.trials, out=out, device="cpu", progress=False
            )
            best = result.best_trial()
            row.append(f"{100 * whitened.score(result.best, 'test'):.2f} ({time.monotonic() - began:.0f} s)")
        ranks = ", ".join(str(choice.rank or "dense") for choice in best.plan.values())
        print("|", " | ".join([*row, tested(whitened, best.plan, FINAL), ranks]), "|", flush=True)


if __name__ == "__main__":
    main()
