"""What is found in public architectures: ``uv run python benchmarks/architectures.py [NAMES …] --out FILE.md``.

For every network of `public_architectures`, with random weights, the table tells

- the *multiplying weights*: the parameters that one forward pass in eval mode multiplies its data by;
- the share of them in layers that module kinds take, and the share that `stored` takes (parameters and bytes fall with
  it, flops do not); with ``--fold`` the weights that are computed of others are folded first;
- why the rest stays dense;
- full-rank equality: the largest difference between the outputs of the dense network and of the network in which layers
  are factorized at full rank, relative to the largest output; float32, so a hundred rounding errors are 1e-5.

A network that failed is a row with its error. Results are kept in ``--cache`` and not computed again.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import torch
from public_architectures import ARCHITECTURES, Architecture
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree
from torch.utils.data import Dataset

from rankfront import Choice, Plan, Task
from rankfront.objectives.data.structure import apply, tensors_of
from rankfront.objectives.dense import Dense, dense_of
from rankfront.objectives.kinds.factorize import factorize
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.layer import Layer
from rankfront.objectives.model.multiplications import Multiplications

SAMPLES = 4

WIDEST = 1024
"""A layer with more rows and columns is counted but not factorized: its decomposition takes minutes."""

NOT_FACTORIZED = ("depthwise convolution", "weight shared with an embedding")
"""How the reasons begin of weights that no kind can take."""

SETTLING = 8
"""Random inputs on which batch norms get their statistics: with those of a fresh network its output hardly varies."""


class Copies(Dataset[Any]):
    """The same input a few times, and a target that nobody reads."""

    def __init__(self, inputs: Any) -> None:
        self.inputs = pytree.tree_map(lambda tensor: tensor[0], inputs)

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.inputs, 0


def multiplying(model: nn.Module, inputs: Any) -> int:
    """Return how many weights the matrices and kernels have that a forward pass multiplies by."""
    parameters = {name: p for name, p in model.named_parameters() if p.ndim > 1}
    watched = Multiplications(parameters.items())
    with torch.no_grad(), watched:
        apply(model, inputs)
    return sum(parameters[name].numel() for name in watched.uses)


@torch.no_grad()
def settle(model: nn.Module, inputs: Any) -> None:
    """Give matrices that start as zero random weights, and every batch norm the statistics of random inputs."""
    for parameter in model.parameters():
        if parameter.ndim > 1 and not bool(parameter.any()):
            nn.init.normal_(parameter, std=0.02)
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a cumulative average
        norm.train()
    if norms:
        apply(model, pytree.tree_map(lambda t: torch.randn(SETTLING, *t.shape[1:]), inputs))
    model.eval()


def full_rank(dense: Dense, widest: int) -> tuple[nn.Module, int]:
    """Return the network with its layers at full rank, and the weights of those that were left out as too wide."""
    plan: dict[str, Choice] = {}
    left = 0
    for layer in dense.layers:
        if min(layer.out_features // layer.groups, layer.in_features) > widest:
            left += layer.weights
            continue
        kind = dense.kinds[layer.name][0]
        plan[layer.name] = Choice(kind.name, kind.full_rank(layer))

    def factors(layer: Layer, choice: Choice) -> nn.Module:
        kind = KINDS[choice.kind]
        assert choice.rank is not None
        return kind.condense(layer, choice.rank, kind.decompose(layer, None).factors(kind.inner(choice.rank)))

    layers = {layer.name: layer for layer in dense.layers}
    return factorize(dense.model, layers, Plan(plan), factors).eval(), left


@torch.no_grad()
def difference(one: nn.Module, other: nn.Module, inputs: Any) -> float:
    """Return the largest difference of the outputs, relative to the largest output."""
    found = [[t.float() for t in tensors_of(apply(m.eval(), inputs)) if t.is_floating_point()] for m in (one, other)]
    largest = max(float(t.abs().max()) for t in found[0] if t.numel())
    return max(float((a - b).abs().max()) for a, b in zip(*found, strict=True) if a.numel()) / largest


def row(architecture: Architecture, widest: int, fold: bool) -> dict[str, Any]:
    """Return what the table tells of one network."""
    torch.manual_seed(0)
    model, inputs = architecture.build()
    settle(model.eval(), inputs)
    total = multiplying(model, inputs)
    began = time.monotonic()
    data = Copies(inputs)
    task = Task(model, train=data, validation=data, loss="model", score=lambda outputs, targets: 0.0, fold=fold)
    dense = dense_of(task, task.train.example())
    seconds = time.monotonic() - began
    coverage = dense.coverage
    reasons = Counter[str]()
    for size, reason in coverage.left.values():
        reasons[reason] += size
    small, left = full_rank(dense, widest)
    return {
        "library": architecture.library,
        "name": architecture.name,
        "weights": total,
        "module": coverage.modules / total,
        "stored": coverage.stored / total,
        "not factorized": sum(size for why, size in reasons.items() if why.startswith(NOT_FACTORIZED)) / total,
        "reasons": {why: size / total for why, size in reasons.most_common(3)},
        "difference": difference(model, small, inputs),
        "left out": left / total,
        "seconds": seconds,
    }


def line(found: dict[str, Any]) -> str:
    """Return a row of the table."""
    if "error" in found:
        return f"| {found['library']} | {found['name']} | | | | {found['error']} | |"
    reasons = "; ".join(f"{100 * share:.2g} %: {why}" for why, share in found["reasons"].items() if share >= 5e-4)
    equal = f"{found['difference']:.0e}" + (f" ({found['left out']:.0%} not tried)" if found["left out"] else "")
    return (
        f"| {found['library']} | {found['name']} | {found['weights'] / 1e6:.3g} M | {100 * found['module']:.4g} % "
        f"| {100 * found['stored']:.4g} % | {reasons} | {equal} |"
    )


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these networks")
    parser.add_argument("--out", type=Path, help="where the table goes; printed if not given")
    parser.add_argument("--cache", type=Path, help="a folder for results, so that an interrupted run goes on")
    parser.add_argument("--widest", type=int, default=WIDEST, help="the widest layer that is factorized")
    parser.add_argument("--fold", action="store_true")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for architecture in ARCHITECTURES:
        if given.names and architecture.name not in given.names:
            continue
        kept = None if given.cache is None else given.cache / f"{architecture.name.replace(' ', '-')}.json"
        if kept is not None and kept.exists():
            found = json.loads(kept.read_text())
        else:
            try:
                found = row(architecture, given.widest, given.fold)
            except Exception as error:
                told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                found = {"library": architecture.library, "name": architecture.name, "error": told}
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(found))
        rows.append(found)
        print(line(found), flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    text = "\n".join(
        (
            "# What is found in public architectures",
            "",
            f"Written by `benchmarks/architectures.py{' --fold' if given.fold else ''}`, {date.today()}, at commit "
            f"{commit.strip()}, torch {torch.__version__}, {platform.machine()}, no GPU. Random weights. Shares are of "
            "the *multiplying weights*: the parameters that a forward pass multiplies its data by.",
            "",
            "| library | network | multiplying weights | in modules | stored | the rest | full rank differs by |",
            "|---|---|---|---|---|---|---|",
            *map(line, rows),
            "",
        )
    )
    if given.out is not None:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
