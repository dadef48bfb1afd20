"""Latency of whole networks, predicted against measured: ``uv run python benchmarks/latency.py PART …``.

- ``run NETWORK … --data DIR --runs DIR``: measures the layers of each network in each engine at each batch size,
  predicts plans within bounds on flops and on latency, and measures these, a file each in DIR. What is there is not
  done again; with ``--minutes`` nothing is begun after that time. The machine must do nothing else meanwhile.
- ``table --runs DIR``: writes ``docs/benchmarks/latency.md`` from these files, whatever of them there is.

Plans are those of the knapsack over kinds without identity blocks, before any training.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from where_and_when import where_and_when

from rankfront import Task
from rankfront.objectives.data.calling import apply
from rankfront.objectives.engines.eager import outputs_of
from rankfront.objectives.engines.registry import engine_named
from rankfront.objectives.engines.setting import EngineSetting
from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.objectives.io.tensors import read_checkpoint
from rankfront.objectives.metrics.latency import LATENCY
from rankfront.objectives.metrics.latency_table import PredictedLatency
from rankfront.objectives.objective import Objective
from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.report.progress import Progress
from rankfront.search.space.budget import Budget
from rankfront.search.space.candidates import Candidates
from rankfront.search.study.latency import at_budget, latency_table, more_time
from rankfront.search.study.measuring import SpeedMeter, threads_kept
from rankfront.studies import digits, efficientnet_imagenette, minilm, resnet18_imagenette
from rankfront.studies.imagenette import imagenette, normalise
from rankfront.studies.text import corpus, made_corpus, sentences

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "latency.md"
ENGINES = ("openvino", "onnxruntime", "eager", "inductor")
BATCHES = (1, 16)
FLOPS, TIMES = (0.5, 0.3, 0.15), (0.6, 0.4, 0.25)
"""The shares of the dense network's flops, and of its latency, that plans are made for."""
KINDS = ("svd", "spatial", "tucker2")
SAMPLES = 64
"""That plans are made on; and as many others, on which outputs are compared."""
SECONDS = 2.0
"""About how long each plan's network is run in turn with the dense one."""


class Pooled(nn.Module):
    """MiniLM's sentence embeddings, ``(N, T) → (N, 384)``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the mean of the tokens' last hidden states."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask)["last_hidden_state"]
        return (hidden * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True)


def digits_network(data: Path, weights: Path | None) -> tuple[nn.Module, Any]:
    """Return the digits' CNN and its images."""
    task = digits.study()
    return task.model, next(task.train.batches(2 * SAMPLES, limit=2 * SAMPLES)).inputs


def resnet18(data: Path, weights: Path | None) -> tuple[nn.Module, Any]:
    """Return torchvision's ResNet-18 with ten classes, and images of 128 pixels."""
    model = resnet18_imagenette.network()
    if weights is not None:  # a checkpoint of the study's has other tensors, too
        state = {name.removeprefix("model."): tensor for name, tensor in read_checkpoint(weights).items()}
        model.load_state_dict({name: state[name] for name in model.state_dict()})
    return model, normalise(imagenette(data / "imagenette2-128", "train", 128, limit=2 * SAMPLES)[0])


def efficientnet(data: Path, weights: Path | None) -> tuple[nn.Module, Any]:
    """Return the pretrained EfficientNet-lite0, and images of 128 pixels."""
    images = imagenette(data / "imagenette2-128", "train", 128, limit=2 * SAMPLES)[0]
    return efficientnet_imagenette.network(), efficientnet_imagenette.normalise(images)


def sentence_encoder(data: Path, weights: Path | None) -> tuple[nn.Module, Any]:
    """Return all-MiniLM-L6-v2, and sentences of `minilm.LENGTH` tokens."""
    from transformers import AutoTokenizer

    folder, model = minilm.network()
    listed = sentences((corpus(data, None) or made_corpus()).train, 2 * SAMPLES)
    options: dict[str, Any] = {"padding": "max_length", "truncation": True, "max_length": minilm.LENGTH}
    found = AutoTokenizer.from_pretrained(folder, local_files_only=True)(listed, return_tensors="pt", **options)
    return Pooled(model), {name: found[name] for name in ("input_ids", "attention_mask")}


NETWORKS: dict[str, Callable[[Path, Path | None], tuple[nn.Module, Any]]] = {
    "resnet18": resnet18,
    "minilm": sentence_encoder,
    "digits": digits_network,
    "efficientnet-lite0": efficientnet,
}
"""Name → how the network and `SAMPLES` samples twice are made; the most telling first."""


class Made:
    """A network ready to be measured: factors of every layer, and samples that they were not made from."""

    def __init__(self, name: str, data: Path, weights: Path | None, cache: Path, progress: Progress) -> None:
        torch.manual_seed(0)
        model, inputs = NETWORKS[name](data, weights)
        labels = torch.arange(SAMPLES) % 10
        first, others = (_part(inputs, slice(at, at + SAMPLES)) for at in (0, SAMPLES))
        self.task = Task(
            model.eval(),
            (first, labels),
            (others, labels),
            calibration=SAMPLES,
            kinds=KINDS,
            sensitivity="none",
            name=name,
        )
        self.objective = Objective(self.task, device=torch.device("cpu"), cache=cache)
        self.objective.prepare(progress)
        self.others = next(self.task.validation.batches(SAMPLES)).inputs
        with torch.inference_mode():
            self.outputs = outputs_of(apply(self.objective.dense, self.others))

    @torch.inference_mode()
    def moved(self, model: nn.Module) -> float:
        """Return by how much factors move the outputs, before any training: a share, root mean square."""
        found = outputs_of(apply(model, self.others))
        pairs = [*zip(found, self.outputs, strict=True)]
        apart = sum(float((a - b).double().square().sum()) for a, b in pairs)
        return (apart / sum(float(b.double().square().sum()) for _, b in pairs)) ** 0.5


def _part(inputs: Any, rows: slice) -> Any:
    return {name: x[rows] for name, x in inputs.items()} if isinstance(inputs, dict) else inputs[rows]


def measure(made: Made, engine: str, batch_size: int, threads: int, progress: Progress) -> dict[str, Any]:
    """Return plans of one network, predicted and measured in one setting."""
    began, objective, setting = time.monotonic(), made.objective, EngineSetting(engine, batch_size, threads)
    with threads_kept():
        table = latency_table(objective, setting, progress)
        meter = SpeedMeter.of(setting.engine, made.task, batch_size, threads)
        start = setting.engine.runner(objective.dense.cpu().eval(), meter.inputs, threads)
        added = more_time(objective, setting, start, meter.inputs)
        rows: list[dict[str, Any]] = []
        for metric, share in [*(("flops", share) for share in FLOPS), *((LATENCY.name, share) for share in TIMES)]:
            bound = f"{metric}={100 * share:.0f}%"
            # As a study does: plans at a bound on latency save what one at the bound was measured to save.
            scaled = at_budget(table, objective, Budget.of(bound), added) if metric == LATENCY.name else table
            objective.costs.predict(LATENCY.name, scaled.dense, PredictedLatency(scaled, objective.by_name))
            candidates = Candidates.of(objective)
            choices = knapsack(candidates, {metric: share * candidates.dense[metric]})
            if choices is None:
                continue
            plan = candidates.plan(choices)
            model = objective.factorize(plan).cpu().eval()
            speed, costs = meter.speed(len(rows), model, SECONDS), objective.costs.of(plan)
            rows.append(
                {
                    "bound": bound,
                    "flops": costs["flops"] / candidates.dense["flops"],
                    "predicted": costs[LATENCY.name] / table.dense,
                    "measured": 1 / speed.speedup,
                    "low": 1 / speed.high,
                    "high": 1 / speed.low,
                    "dense_ms": speed.dense_ms,
                    "moved": made.moved(model),
                }
            )
            progress.say(f"{made.task.name} in {setting}: {rows[-1]}")
    return {
        **where_and_when(),
        "load": round(os.getloadavg()[0], 1),
        "threads": threads,
        "seconds": time.monotonic() - began,
        "rows": rows,
        "factors": table.factors,
        "steps": sorted(
            {times.step for shape in table.shapes for times in shape.kinds.values() if times.step.size > 1}
        ),
    }


def error_of(row: dict[str, Any]) -> float:
    """Return a prediction's relative error."""
    return abs(row["predicted"] / row["measured"] - 1)


def realised(row: dict[str, Any]) -> float:
    """Return the share of the ideal speed-up, which is that of the flops, that was measured."""
    return row["flops"] / row["measured"]


def at_equal_latency(rows: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """Return each plan within a bound on flops, and how far plans within one on latency move outputs at its latency.

    Between these, and the dense network, it is interpolated; where none is as fast, the plan is left out.
    """
    front = sorted((row["measured"], row["moved"]) for row in rows if row["bound"].startswith(LATENCY.name))
    times, moved = np.array([*front, (1.0, 0.0)]).T
    flops = [row for row in rows if row["bound"].startswith("flops") and times[0] <= row["measured"] <= 1]
    return [(row, float(np.interp(row["measured"], times, moved))) for row in flops]


def step_shown(size: int, off: float) -> str:
    """Return a step of ranks in words."""
    return f"{size}" if off < 1.01 else f"{size} (other ranks {off:.2f} times as long)"


Found = dict[tuple[str, str, int], dict[str, Any]]


def overview(found: Found) -> list[str]:
    """Return the table of all networks and engines."""
    lines = [
        "| network | engine | batch | dense | × faster at 50 / 30 / 15 % of the flops | of the ideal "
        "| latency at bounds of 60 / 40 % | median error | largest |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, engine, batch), one in found.items():
        rows = {row["bound"]: row for row in one["rows"]}
        flops = [rows.get(f"flops={100 * share:.0f}%") for share in FLOPS]
        times = [rows.get(f"{LATENCY.name}={share}%") for share in (60, 40)]
        errors = [error_of(row) for row in one["rows"]]
        cells = [
            " / ".join("–" if row is None else f"{1 / row['measured']:.2f}" for row in flops),
            " / ".join("–" if row is None else f"{100 * realised(row):.0f}" for row in flops) + " %",
            " / ".join("–" if row is None else f"{100 * row['measured']:.1f}" for row in times) + " %",
            f"{100 * statistics.median(errors):.1f} %",
            f"{100 * max(errors):.1f} %",
        ]
        dense = f"{one['rows'][0]['dense_ms']:.3g} ms"
        lines.append(f"| {name} | {engine_named(engine).label} | {batch} | {dense} | {' | '.join(cells)} |")
    return lines


def equal_latency(found: Found) -> list[str]:
    """Return the table of bounds on latency against bounds on flops."""
    lines = ["| network | engine | batch | latency: moved within a bound on flops / on latency |", "|---|---|---|---|"]
    better = compared = 0
    for (name, engine, batch), one in found.items():
        pairs = at_equal_latency(one["rows"])
        compared += len(pairs)
        better += sum(other <= row["moved"] for row, other in pairs)
        cells = [f"{100 * r['measured']:.0f} %: {100 * r['moved']:.1f} / {100 * other:.1f} %" for r, other in pairs]
        lines.append(f"| {name} | {engine_named(engine).label} | {batch} | {'; '.join(cells) or '–'} |")
    return [f"At {better} of {compared} latencies the bound on latency moves outputs less, or as little.", "", *lines]


def page(found: Found) -> str:
    """Return the page of what was measured, by network, engine and batch size."""
    lines = [
        "# Latency, predicted against measured",
        "",
        "Plans of the knapsack within bounds on latency and on flops, before any training, of the kinds",
        f"{', '.join(f'`{kind}`' for kind in KINDS)}. *Predicted*: from the times of the layers and of networks",
        "of each kind, as a study does it before its first trial. *Measured*: the whole network in turn with the",
        "dense one, the median ratio and its quartiles. All are shares of the dense network's latency. *Of the ideal*:",
        "the speed-up as a share of that of the flops. *Moved*: by how much the outputs on 64 samples differ from the",
        "dense network's, root mean square. A dash: no plan is predicted to be as fast, which a study tells before its",
        "first trial. A study ships only what is measured within its budget; here are the plans that it begins with.",
        "Written by `benchmarks/latency.py`.",
        "",
    ]
    if not found:
        return "\n".join([*lines, "Nothing is measured yet."]) + "\n"
    lines += [*overview(found), "", "## A bound on latency against one on flops", "", *equal_latency(found)]
    for (name, engine, batch), one in found.items():
        lines += [
            "",
            f"## {name}, {engine_named(engine).label}, batches of {batch}",
            "",
            f"Commit {one['commit']}, {one['date']}, {one['machine']}, load {one['load']}, torch {one['torch']}; "
            f"{one['seconds']:.0f} s. Steps of ranks: "
            f"{'; '.join(dict.fromkeys(step_shown(*step) for step in one['steps'])) or 'none found'}.",
            "",
            "| bound | flops | predicted | measured | moved |",
            "|---|---|---|---|---|",
            *(
                f"| {row['bound']} | {100 * row['flops']:.1f} % | {100 * row['predicted']:.1f} % "
                f"| {100 * row['measured']:.1f} % ({100 * row['low']:.1f}–{100 * row['high']:.1f}) "
                f"| {100 * row['moved']:.1f} % |"
                for row in one["rows"]
            ),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Do the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("run", "table"))
    parser.add_argument("networks", nargs="*", help=f"any of {', '.join(NETWORKS)}; all if not given")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("data"), help="holds imagenette2-128/ and wikitext-2/")
    parser.add_argument("--weights", type=Path, help="of ResNet-18 with ten classes; else it is untrained")
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so many")
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    began, names = time.monotonic(), asked.networks or [*NETWORKS]
    # The most telling first: both engines that read files at a batch of one, then at larger ones, then PyTorch's own.
    wanted = sorted(
        ((n, e, b) for n in names for e in asked.engines for b in asked.batches),
        key=lambda cell: (ENGINES.index(cell[1]) // 2, cell[2], ENGINES.index(cell[1]), names.index(cell[0])),
    )
    files = {cell: asked.runs / f"{'-'.join(map(str, cell))}.json" for cell in wanted}
    if asked.part == "table":
        cells = sorted(files, key=lambda cell: (names.index(cell[0]), ENGINES.index(cell[1]), cell[2]))
        write_text(DOCS, page({cell: read_json(files[cell]) for cell in cells if files[cell].exists()}))
        return
    torch.set_num_threads(asked.threads)
    with Progress() as progress:
        made = functools.cache(lambda name: Made(name, asked.data, asked.weights, asked.runs / "cache", progress))
        for (name, engine, batch), path in files.items():
            if not path.exists() and time.monotonic() - began < 60 * asked.minutes:
                write_json(path, measure(made(name), engine, batch, asked.threads, progress))


if __name__ == "__main__":
    main()
