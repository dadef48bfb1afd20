"""What allocation and decomposition are worth without any training: ``uv run python benchmarks/untrained.py PART …``.

- ``run MODEL --data DIR --runs DIR``: every method at every share of the parameters, a JSON file each model. The same
  command goes on where it was stopped; ``--methods`` takes some of them.
- ``table --runs DIR``: writes ``docs/benchmarks/untrained.md`` from these files, whatever of them there is.

Networks are decomposed, batch norm is re-estimated where that brings them nearer to the dense model's outputs, and no
weight is trained but by the refits. Scores are of the test split; where a method has to choose, it chooses on the
validation split. All methods are this project's own code, on the same calibration samples but for a row that says
otherwise: *equal ratios* is the rule `uniform`; the allocations of others are the rules `energy` (ALDS), `zero_sum`
(ZS-SVD) and `interpolated` (Swift-SVD, its mixture chosen by score).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from where_and_when import where_and_when

from rankfront import RankfrontError, Task
from rankfront.objectives.calibration.calibrate import calibrate
from rankfront.objectives.calibration.moments import Moments, Statistic
from rankfront.objectives.calibration.sensitivity import change
from rankfront.objectives.data.structure import apply
from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.objectives.kinds.cache import DecompositionCache
from rankfront.objectives.kinds.decompositions import Decompositions, Wanted
from rankfront.objectives.model.mode import in_mode
from rankfront.objectives.objective import Objective
from rankfront.objectives.plan import Plan
from rankfront.objectives.start import Refit
from rankfront.search.allocation.interpolated import mixtures
from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.allocation.registry import rule_named
from rankfront.search.report.progress import Progress
from rankfront.search.space.arrays import Choices
from rankfront.search.space.candidates import Candidates
from rankfront.studies import digits, efficientnet_imagenette, mnist_mlp, resnet18_imagenette, smollm2

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "untrained.md"
SHARES = (0.7, 0.5, 0.35, 0.25, 0.15, 0.1)


@dataclass(frozen=True)
class Ground:
    """A model, and the shares of its parameters at which methods are compared."""

    task: Callable[..., Task]
    shares: tuple[float, ...] = SHARES
    options: Mapping[str, Any] | None = None


GROUNDS = {
    "digits": Ground(lambda data, **known: digits.study(**known), (*SHARES[1:], 0.07, 0.05)),
    "efficientnet-imagenette": Ground(efficientnet_imagenette.study, options={"image_size": 160}),
    "smollm2": Ground(
        lambda data, **known: replace(smollm2.study(data, **known), calibration=64), (0.9, 0.8, 0.7, 0.6)
    ),
    "mnist-mlp": Ground(mnist_mlp.study, (*SHARES, 0.05, 0.02)),
    "resnet18-imagenette": Ground(resnet18_imagenette.study, options={"image_size": 64}),
}


@dataclass(frozen=True)
class Method:
    """How layers are decomposed and ranks allotted."""

    title: str
    errors: str
    """``weight``, ``scaled`` weight, ``input`` side or ``both`` sides."""
    rule: str
    kinds: tuple[str, ...] = ()
    """All of the study's if not given."""
    refit: Refit = None
    more: int = 1
    """Times the calibration samples of the other methods."""


SVD = ("svd",)
METHODS = {
    "plain": Method("plain SVD, equal ratios", "weight", "uniform", SVD),
    "asvd": Method("inputs scaled as in ASVD, equal ratios", "scaled", "uniform", SVD),
    "svd-llm": Method("input side (SVD-LLM), equal ratios", "input", "uniform", SVD),
    "alds": Method("input side, ALDS's allocation", "input", "energy", SVD),
    "zs-svd": Method("input side, ZS-SVD's allocation", "input", "zero_sum", SVD),
    "swift-svd": Method("input side, Swift-SVD's allocation", "input", "interpolated", SVD),
    "input-svd": Method("input side, `knapsack`, svd", "input", "knapsack", SVD),
    "both-svd": Method("both sides, `knapsack`, svd", "both", "knapsack", SVD),
    "both-exact": Method("both sides, `exact`, svd", "both", "exact", SVD),
    "both-tucker2": Method("both sides, `knapsack`, tucker2", "both", "knapsack", ("tucker2",)),
    "both-spatial": Method("both sides, `knapsack`, spatial", "both", "knapsack", ("spatial",)),
    "both-tt": Method("both sides, `knapsack`, tt", "both", "knapsack", ("tt",)),
    "input": Method("input side, `knapsack`, all kinds", "input", "knapsack"),
    "both": Method("both sides, `knapsack`, all kinds", "both", "knapsack"),
    "both-more": Method(
        "both sides, `knapsack`, all kinds, four times the calibration samples", "both", "knapsack", more=4
    ),
    "summed": Method("both sides, `knapsack` on predicted errors alone, all kinds", "both", "summed"),
    "measured": Method("both sides, `knapsack` on measured errors, plain sums, all kinds", "both", "measured"),
    "both-bottleneck": Method("both sides, `bottleneck`, all kinds", "both", "bottleneck"),
    "summed-block": Method(
        "both sides, `knapsack` on predicted errors alone, all kinds, refit by blocks", "both", "summed", refit="block"
    ),
    "layer": Method("both sides, `knapsack`, all kinds, refit by layers", "both", "knapsack", refit="layer"),
    "block": Method("both sides, `knapsack`, all kinds, refit by blocks", "both", "knapsack", refit="block"),
    "network": Method("both sides, `knapsack`, all kinds, refit of the network", "both", "knapsack", refit="network"),
}


def prepared(task: Task, method: Method, cache: Path, progress: Progress) -> Objective:
    """Return the objective with every layer decomposed as the method does it."""
    sensitivity = "auto" if method.errors == "both" else "none"
    whiten = method.errors in ("input", "both")
    kinds = tuple(kind for kind in task.kinds if not method.kinds or kind in method.kinds)
    if not kinds:
        raise RankfrontError("this model's study does not use that kind")
    more = method.more * task.calibration
    task = replace(task, sensitivity=sensitivity, whiten=whiten, kinds=kinds, calibration=more)
    objective = Objective(task, device=torch.device("cpu"), cache=cache)
    objective.prepare(progress)
    if method.errors == "scaled":
        known = objective.decompositions
        objective.decompositions = Decompositions(known.layers, known.kinds)
        objective.decompositions.fill(DecompositionCache(None, ""), scaled(objective), lambda done, total: None)
    return objective


def scaled(objective: Objective) -> Callable[[Wanted], dict[tuple[str, Statistic], Moments]]:
    """Return moments as if inputs were independent: ``W diag(s)`` is decomposed, s² their root mean squares.

    ASVD (Yuan et al., 2023) scales by the mean magnitude to the power of ½.
    """

    def gather(wanted: Wanted) -> dict[tuple[str, Statistic], Moments]:
        inputs: Wanted = {(name, "inputs"): (layer, "inputs") for (name, _), (layer, _) in wanted.items()}
        found = calibrate(objective.dense, inputs, objective.samples.calibration)
        moments: dict[tuple[str, Statistic], Moments] = {}
        for (name, statistic), (layer, _) in wanted.items():
            if (name, "inputs") not in found or layer.groups > 1:
                continue
            size = found[name, "inputs"].second.diagonal().sqrt()
            weight = layer.grouped_weight[0]
            second = size.diag() if statistic == "inputs" else (weight * size) @ weight.T
            moments[name, statistic] = Moments(2, second.new_zeros(len(second)), second)
        return moments

    return gather


def plans(
    method: Method, objective: Objective, candidates: Candidates, limits: Mapping[str, float]
) -> Iterator[Choices]:
    """Yield the plans to choose from, one mostly; none where nothing fits."""
    if method.rule == "interpolated":
        yield from (choices for choices in mixtures(candidates, limits) if candidates.fits(choices, limits)[0])
        return
    if method.rule == "summed":
        predicted = [objective.decompositions.importance[name] for name in candidates.names]
        choices = knapsack(candidates, limits, np.array(predicted)[:, None] * candidates.relative_errors)
    elif method.rule == "measured":
        choices = knapsack(candidates, limits, candidates.importance * candidates.relative_errors)
    else:
        choices = rule_named(method.rule)(candidates, limits)
    if choices is not None:
        yield choices


def row(objective: Objective, candidates: Candidates, method: Method, share: float) -> dict[str, Any]:
    """Return what a method comes to at a share of the dense model's parameters."""
    limits = {"params": share * candidates.dense["params"]}
    if candidates.smallest["params"] > limits["params"]:
        return {"score": None}
    begun = time.perf_counter()
    choices = list(plans(method, objective, candidates, limits))
    if not choices:
        return {"score": None}
    turned = objective.task.score.scale.minimised

    def started(which: Choices) -> nn.Module:
        return objective.started(candidates.plan(which), method.refit)[0]

    if len(choices) > 1:
        choices = [min(choices, key=lambda which: turned(objective.score(started(which))))]
    allotted = time.perf_counter()
    model = started(choices[0])
    seconds = time.perf_counter() - allotted
    plan = candidates.plan(choices[0])
    return {
        "score": objective.score(model, "test"),
        "share": candidates.exact_costs(choices[0], ["params"])["params"] / candidates.dense["params"],
        "seconds": {"allocation": allotted - begun, "network": seconds},
        "predicted": predicted(objective, plan) if method.errors == "both" else None,
        "measured": measured(objective, model),
    }


def predicted(objective: Objective, plan: Plan) -> float:
    """Return the change of a sample's outputs that the plan's errors sum up to (see `importance`)."""
    known = objective.decompositions
    return known.mean_importance * sum(
        known.importance[name] * known.error(objective.by_name[name], choice) for name, choice in plan.items()
    )


@torch.no_grad()
def measured(objective: Objective, model: nn.Module) -> float:
    """Return that change as it is, on held-out samples (see `sensitivity.change`)."""
    samples, total = objective.samples.held_out, 0.0
    with in_mode(model, training=False):
        for batch in samples:
            ours, dense = (apply(m, batch.inputs) for m in (model, objective.dense))
            classifies = objective.task.criterion.classifies(dense, batch.targets)
            total += float(change("auto", ours, dense, batch.targets, classifies=classifies))
    return total / sum(batch.samples for batch in samples)


def run(name: str, data: Path, runs: Path, methods: Sequence[str], shares: Sequence[float]) -> None:
    """Measure what is not in the file yet."""
    ground = GROUNDS[name]
    path = runs / f"{name}.json"
    found: dict[str, Any] = read_json(path) if path.exists() else {"known": where_and_when(), "rows": {}}
    with Progress() as progress:
        task = ground.task(data, progress=progress, **(ground.options or {}))
        for key in methods:
            rows = found["rows"].setdefault(key, {})
            missing = [share for share in shares or ground.shares if str(share) not in rows]
            if not missing or not set(METHODS[key].kinds or task.kinds) & set(task.kinds):
                continue
            begun = time.perf_counter()
            try:
                objective = prepared(task, METHODS[key], runs / f"{name}-decompositions", progress)
            except RankfrontError as error:  # such as a kind for kernels in a model without any
                progress.say(f"{name}, {METHODS[key].title}: left out, {error}")
                continue
            candidates = Candidates.of(objective)
            if "dense" not in found:
                found["dense"] = objective.score(objective.dense, "test")
                found["samples"] = objective.task.test.size
            found.setdefault("preparing", {}).setdefault(METHODS[key].errors, time.perf_counter() - begun)
            for share in missing:
                rows[str(share)] = row(objective, candidates, METHODS[key], share)
                write_json(path, found)
                progress.say(f"{name} {METHODS[key].title} {share:.0%}: {rows[str(share)]}")


def section(name: str, found: Mapping[str, Any]) -> list[str]:
    """Return the Markdown of one model."""
    rows, known = found["rows"], found["known"]
    shares = sorted({float(share) for each in rows.values() for share in each}, reverse=True)
    language = name == "smollm2"

    def shown(value: float | None) -> str:
        if value is None:
            return "–"
        value = value if language else 100 * value
        return f"{value:.1f}" if value < 1e4 else f"{value:.0e}"

    what = "perplexity, less is better" if language else "accuracy, %"
    lines = [
        f"## {name}",
        "",
        f"Test {what}, by the share of the parameters kept. Dense: {shown(found['dense'])} on {found['samples']:,} "
        f"test samples. {known['date']}, {known['machine']}, torch {known['torch']}, commit {known['commit']}.",
        "",
        "| method | " + " | ".join(f"{100 * share:g} %" for share in shares) + " |",
        "|---" * (len(shares) + 1) + "|",
    ]
    for key, method in METHODS.items():
        scores = [rows.get(key, {}).get(str(share), {}).get("score") for share in shares]
        if any(score is not None for score in scores):
            lines.append(f"| {method.title} | " + " | ".join(map(shown, scores)) + " |")
    if "both" in rows:
        both = [rows["both"].get(str(share), {}) for share in shares]
        lines += [
            "",
            "Change of the outputs of a sample, both sides, all kinds (see `importance`): what the errors sum up to, "
            "what it is on held-out samples.",
            "",
            "| | " + " | ".join(f"{100 * share:g} %" for share in shares) + " |",
            "|---" * (len(shares) + 1) + "|",
        ]
        for kind in ("predicted", "measured"):
            values = [f"{value:.3g}" if (value := each.get(kind)) is not None else "–" for each in both]
            lines.append(f"| {kind} | " + " | ".join(values) + " |")
    prepared_in = ", ".join(f"{what} {seconds:.0f} s" for what, seconds in found["preparing"].items())
    refits = [
        f"{what} {spent[0]:.0f} s"
        for key, what in (
            ("both", "without a refit"),
            ("layer", "by layers"),
            ("block", "by blocks"),
            ("network", "of the network"),
        )
        if (spent := [each["seconds"]["network"] for each in rows.get(key, {}).values() if "seconds" in each])
    ]
    note = known.get("note", "")  # by hand, in the file
    return [
        *lines,
        "",
        f"Seconds to find and decompose: {prepared_in}; to make a network: {', '.join(refits)}. {note}",
        "",
    ]


def table(runs: Path) -> None:
    """Write the page of all models that there are."""
    text = ["# Without training", "", "Written by `benchmarks/untrained.py table`; do not edit.", ""]
    text += ["Networks are decomposed" + (__doc__ or "").partition("Networks are decomposed")[2].strip(), ""]
    for name in GROUNDS:
        path = runs / f"{name}.json"
        text += section(name, read_json(path)) if path.exists() else [f"## {name}", "", "Not run yet.", ""]
    write_text(PAGE, "\n".join(text))


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=["run", "table"])
    parser.add_argument("model", nargs="?", choices=list(GROUNDS))
    parser.add_argument("--data", type=Path, default=Path("data"), help="as for `rankfront run STUDY`")
    parser.add_argument("--runs", type=Path, default=Path("runs") / "benchmark-untrained")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--shares", default="", help="such as 0.5,0.25; the model's own if not given")
    given = parser.parse_args()
    if given.part == "table":
        table(given.runs)
    elif given.model is None:
        parser.error("run needs a model")
    else:
        shares = [float(share) for share in given.shares.split(",") if share]
        given.runs.mkdir(parents=True, exist_ok=True)
        run(given.model, given.data, given.runs, given.methods.split(","), shares)


if __name__ == "__main__":
    main()
