"""Latency of whole networks, predicted against measured: ``uv run python benchmarks/latency.py PART …``.

- ``run NETWORK … --runs DIR``: measures the layers of each network in each engine at each batch size, predicts plans at
  several bounds on latency and on flops, and measures these, a file each in DIR. What is there is not done again. The
  machine must do nothing else meanwhile.
- ``table --runs DIR``: writes ``docs/benchmarks/latency.md`` from these files, whatever of them there is.

Networks are not trained: what a pass takes does not depend on the weights. Plans are those of the knapsack, before any
training.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from where_and_when import where_and_when

from rankfront import Task
from rankfront.objectives.engines.registry import engine_named
from rankfront.objectives.engines.setting import EngineSetting
from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.objectives.metrics.latency import LATENCY
from rankfront.objectives.metrics.latency_table import PredictedLatency
from rankfront.objectives.objective import Objective
from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.report.progress import Progress
from rankfront.search.space.candidates import Candidates
from rankfront.search.study.latency import latency_table
from rankfront.search.study.measuring import SpeedMeter, threads_kept
from rankfront.studies import digits, efficientnet_imagenette

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "latency.md"
ENGINES = ("openvino", "onnxruntime")
BATCHES = (1, 16)
BOUNDS = {LATENCY.name: (0.85, 0.7, 0.6, 0.5, 0.4), "flops": (0.7, 0.5, 0.3)}
"""Metric → the shares of the dense model's that plans are made for."""


class Transformer(nn.Module):
    """Four encoder layers over 64 tokens, ``(N, 64, 256) → (N, 10)``."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the classes' scores."""
        return self.head(self.encoder(x).mean(1))


def resnet18() -> nn.Module:
    """Return torchvision's, with ten classes."""
    import torchvision

    return torchvision.models.resnet18(num_classes=10)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "digits": (digits.network, (1, 8, 8)),
    "transformer": (Transformer, (64, 256)),
    "resnet18": (resnet18, (3, 64, 64)),
    "efficientnet-lite0": (efficientnet_imagenette.network, (3, 128, 128)),
}
"""Name → how the network is made, and the shape of a sample."""


def measure(name: str, engine: str, batch_size: int, threads: int, runs: Path, progress: Progress) -> dict[str, Any]:
    """Return plans of one network, predicted and measured in one setting."""
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    model, x = make().eval(), torch.randn(64, *shape)
    data = (x, torch.arange(64) % 10)
    task = Task(model, data, data, calibration=64, sensitivity="none", name=name)
    objective = Objective(task, device=torch.device("cpu"), cache=runs / "cache")
    objective.prepare(progress)
    setting = EngineSetting(engine, batch_size, threads)
    with threads_kept():
        table = latency_table(objective, setting, progress)
        objective.costs.predict(LATENCY.name, table.dense, PredictedLatency(table, objective.by_name))
        candidates = Candidates.of(objective)
        meter = SpeedMeter.of(setting.engine, task, batch_size, threads)
        rows = []
        for metric, shares in BOUNDS.items():
            for share in shares:
                choices = knapsack(candidates, {metric: share * candidates.dense[metric]})
                if choices is None:
                    continue
                plan = candidates.plan(choices)
                speed = meter.speed(len(rows), objective.factorize(plan).cpu().eval())
                costs = objective.costs.of(plan)
                rows.append(
                    {
                        "bound": f"{metric}={100 * share:.0f}%",
                        "flops": costs["flops"] / candidates.dense["flops"],
                        "predicted": costs[LATENCY.name] / table.dense,
                        "measured": 1 / speed.speedup,
                        "low": 1 / speed.high,
                        "high": 1 / speed.low,
                        "dense_ms": speed.dense_ms,
                    }
                )
                progress.say(f"{name} in {setting}: {rows[-1]}")
    steps = sorted({times.step for shape in table.shapes for times in shape.kinds.values() if times.step > 1})
    load = round(os.getloadavg()[0], 1)
    return {
        **where_and_when(),
        "load": load,
        "threads": threads,
        "rows": rows,
        "factors": table.factors,
        "steps": steps,
    }


def error_of(rows: Sequence[dict[str, Any]]) -> float:
    """Return the median of the predictions' relative errors."""
    return statistics.median(abs(row["predicted"] / row["measured"] - 1) for row in rows)


def page(found: dict[tuple[str, str, int], dict[str, Any]]) -> str:
    """Return the page of what was measured, by network, engine and batch size."""
    lines = [
        "# Latency, predicted against measured",
        "",
        "Plans of the knapsack within bounds on latency and on flops, before any training. *Predicted*: from the times",
        "of the layers and of a network for each kind, as a study does it before its first trial. *Measured*: the",
        "whole network in turn with the dense one, the median ratio and its quartiles. All are shares of the dense",
        "network's latency.",
        "Written by `benchmarks/latency.py`.",
        "",
        "| network | engine | batch | dense | median error of the prediction | largest | steps found |",
        "|---|---|---|---|---|---|---|",
    ]
    for (name, engine, batch), one in found.items():
        rows = one["rows"]
        if not rows:
            continue
        largest = max(abs(row["predicted"] / row["measured"] - 1) for row in rows)
        steps = ", ".join(map(str, one["steps"])) or "none"
        lines.append(
            f"| {name} | {engine_named(engine).label} | {batch} | {rows[0]['dense_ms']:.3g} ms "
            f"| {100 * error_of(rows):.1f} % | {100 * largest:.1f} % | {steps} |"
        )
    for (name, engine, batch), one in found.items():
        lines += [
            "",
            f"## {name}, {engine_named(engine).label}, batches of {batch}",
            "",
            f"Commit {one['commit']}, {one['date']}, {one['machine']}, load {one['load']}, torch {one['torch']}.",
            "",
            "| bound | flops | predicted | measured |",
            "|---|---|---|---|",
            *(
                f"| {row['bound']} | {100 * row['flops']:.1f} % | {100 * row['predicted']:.1f} % "
                f"| {100 * row['measured']:.1f} % ({100 * row['low']:.1f}–{100 * row['high']:.1f}) |"
                for row in one["rows"]
            ),
        ]
    if not found:
        lines = [*lines[:-2], "Nothing is measured yet."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Do the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("run", "table"))
    parser.add_argument("networks", nargs="*", help=f"any of {', '.join(NETWORKS)}; all if not given")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--engines", nargs="+", default=ENGINES)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    wanted = [(n, e, b) for n in asked.networks or NETWORKS for e in asked.engines for b in asked.batches]

    def file(name: str, engine: str, batch: int) -> Path:
        return asked.runs / f"{name}-{engine}-{batch}.json"

    if asked.part == "run":
        torch.set_num_threads(asked.threads)
        with Progress() as progress:
            for name, engine, batch in wanted:
                if not (path := file(name, engine, batch)).exists():
                    write_json(path, measure(name, engine, batch, asked.threads, asked.runs, progress))
        return
    found = {key: read_json(path) for key in wanted if (path := file(*key)).exists()}
    write_text(DOCS, page(found))


if __name__ == "__main__":
    main()
