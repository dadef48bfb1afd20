"""Factorized, int8 and both at equal bytes: ``uv run python benchmarks/int8.py PART …``.

- ``run NETWORK … --data DIR --runs DIR``: writes each network as files of ONNX Runtime, a result each in RUNS. What is
  complete is not done again.
- ``table --runs DIR``: writes ``docs/benchmarks/int8.md`` from these results, whatever of them there is.

No weight is trained: factors are decomposed and refitted on the calibration samples, int8 takes its ranges there. Which
plan and which layers become int8 is chosen on training samples, and looked at on validation samples.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from where_and_when import where_and_when

from rankfront import Task
from rankfront.objectives.deploy.file import FileMaker
from rankfront.objectives.deploy.network import Network
from rankfront.objectives.deploy.registry import EXPORTERS
from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.objectives.io.tensors import read_checkpoint
from rankfront.objectives.metrics.bytes import BYTES
from rankfront.objectives.objective import Objective
from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.report.progress import Progress
from rankfront.search.space.candidates import Candidates
from rankfront.search.study.export import AT_ONCE, CALIBRATION, EXAMPLE
from rankfront.studies import digits, efficientnet_imagenette, minilm, mnist_mlp, resnet18_imagenette
from rankfront.studies.imagenette import imagenette, normalise

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "int8.md"
SHARES = (0.97, 0.85, 0.7)
"""Of the dense network's bytes, in floating point, that are tried before int8."""
NEAR = (0.995, 0.99, 0.97)
"""The same for a network that has less to spare."""
SAMPLES = 256
"""Training samples, at most, that factors are made on."""
HALF = 0.5
"""Of the bytes of int8 alone: what it cannot do, and both can."""


def resnet18(data: Path, weights: Path) -> Task:
    """Return ResNet-18 with the study's weights, on some of Imagenette's images of 64 pixels."""
    model, state = resnet18_imagenette.network(), read_checkpoint(weights)
    state = {name.removeprefix("model."): tensor for name, tensor in state.items()}  # a checkpoint has more
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    splits = [imagenette(data, split, 64, limit=count) for split, count in (("train", SAMPLES), ("val", 1000))]
    train, validation = ((normalise(x), y) for x, y in splits)
    return Task(model.eval(), train, validation, name="resnet18", kinds=("spatial",))


@dataclass(frozen=True)
class Ground:
    """A network and how it becomes int8."""

    label: str
    study: Callable[..., Task]
    how: str
    """``static`` or ``dynamic``."""
    options: dict[str, Any]
    """For the study."""
    takes: tuple[str, ...] = ("data",)
    shares: tuple[float, ...] = SHARES


GROUNDS = {
    "digits": Ground("digits' CNN", digits.study, "static", {}, takes=()),
    "mnist-mlp": Ground("MNIST's perceptron", mnist_mlp.study, "static", {}),
    "efficientnet-lite0": Ground(
        "EfficientNet-lite0, 96 px", efficientnet_imagenette.study, "static", {"image_size": 96}, ("images",), NEAR
    ),
    "minilm": Ground("all-MiniLM-L6-v2", minilm.study, "dynamic", {}),
    "resnet18": Ground("ResNet-18, 64 px", resnet18, "static", {}, takes=("images", "weights")),
}


@dataclass(frozen=True)
class Row:
    """A file."""

    what: str
    bytes: int
    score: float
    error: float
    """By how much its outputs on validation samples differ from the dense network's: a share, root mean square."""
    share: float
    """Of the dense network's bytes that its factors have, in floating point."""
    floats: int
    """Layers that int8 leaves in floating point."""
    layers: int


class Bench:
    """Writes files of one network, each compared with the dense one."""

    def __init__(self, ground: Ground, given: dict[str, Path], cache: Path, progress: Progress) -> None:
        task = ground.study(**given, **ground.options)
        kinds = tuple(kind for kind in ("svd", "spatial") if kind in task.kinds)
        self.task = replace(task, kinds=kinds, sensitivity="outputs", calibration=min(task.calibration, SAMPLES))
        self.ground, self.progress = ground, progress
        self.objective = Objective(self.task, device=torch.device("cpu"), cache=cache)
        self.objective.prepare(progress)
        self.candidates = Candidates.of(self.objective)
        example = next(task.validation.batches(EXAMPLE, limit=EXAMPLE))
        self.network = Network(
            self.objective.dense, example, calibration=list(task.train.batches(AT_ONCE, limit=CALIBRATION))
        )
        self.place = Path(tempfile.mkdtemp())
        self.count = 0

    def factors(self, share: float) -> nn.Module | None:
        """Return the network within a share of the dense one's bytes, refitted; None where no plan is so small."""
        choices = knapsack(self.candidates, {BYTES.name: share * self.candidates.dense[BYTES.name]})
        if choices is None:
            return None
        return self.objective.started(self.candidates.plan(choices), "layer")[0].cpu().eval()

    def row(self, what: str, model: nn.Module, share: float, how: str | None, limit: float, enough: float) -> Row:
        """Write a file and look at it on validation samples."""
        path, network, maker = self.path(), replace(self.network, model=model), self.maker(how, limit, enough)
        file = maker.write(network, path)
        count = sum(isinstance(m, (nn.Linear, nn.Conv2d)) for m in model.modules())
        moved = maker.moved(network, path, self.network.model, self.task.validation.batches(AT_ONCE))
        found = Row(what, file.written.bytes, file.score.score, moved, share, len(file.floats), count)
        self.progress.say(str(found))
        return found

    def maker(self, how: str | None, limit: float, enough: float) -> FileMaker:
        """Return what writes files."""
        return FileMaker(
            EXPORTERS[".onnx"], "onnxruntime", torch.get_num_threads(), how, self.task.validation, self.task.score,
            self.objective.batch_size, enough, limit,
        )  # fmt: skip

    def path(self) -> Path:
        """Return where the next file goes, in a folder of its own."""
        self.count += 1
        return self.place / str(self.count) / "model.onnx"

    def within(self, limit: float) -> tuple[nn.Module, float] | None:
        """Return factors whose file in floating point has so many bytes, and their share; None where none has."""
        share = limit / self.candidates.dense[BYTES.name]
        while (model := self.factors(share)) is not None:
            path = self.path()
            path.parent.mkdir()
            EXPORTERS[".onnx"].write(replace(self.network, model=model), path, None)
            if (size := path.stat().st_size) <= limit:
                return model, share
            share *= 0.99 * limit / size
        return None

    def tried(self, limit: float, part: float) -> Iterator[tuple[float, float, nn.Module]]:
        """Yield how far files of both move the outputs on training samples, their factors' share, and these."""
        maker = self.maker(self.ground.how, limit, 0)
        for share in (part * each for each in self.ground.shares):
            if (model := self.factors(share)) is None:
                continue
            path, network = self.path(), replace(self.network, model=model)
            path.parent.mkdir()
            maker.as_int8(self.ground.how, network, path)
            if path.stat().st_size <= limit:
                moved = maker.moved(network, path, self.network.model, self.network.calibration)
                self.progress.say(f"{100 * share:.0f} % of the bytes in floating point: moved {100 * moved:.2f} %")
                yield moved, share, model

    def rows(self) -> Iterator[Row]:
        """Yield the dense network, int8 alone, factors alone and both at the bytes of int8 alone, both at half."""
        how, dense, none = self.ground.how, self.objective.dense, float("inf")
        yield self.row("dense", dense, 1, None, none, 0)
        alone = self.row("int8", dense, 1, how, none, none)
        yield alone
        if (found := self.within(alone.bytes)) is not None:
            yield self.row("factorized", found[0], found[1], None, none, 0)
        for what, part in (("both", 1.0), ("both, half", HALF)):
            limit = part * alone.bytes
            if found := [*self.tried(limit, part)]:
                _, share, model = min(found, key=lambda each: each[0])
                yield self.row(what, model, share, how, limit, 0)


def page(found: dict[str, dict[str, Any]]) -> str:
    """Return the page of what was measured."""
    lines = [
        "# Factorized, int8, and both",
        "",
        "Files of ONNX, run in ONNX Runtime. *int8*: its quantizer on the dense network, a scale for each output",
        "channel; ranges of activations from 256 training samples (MiniLM: `dynamic`). *Factorized*: kinds `svd` and",
        "`spatial` at the knapsack's ranks, refitted, in floating point. *Both*: factors as int8, but for the layers",
        "that int8 harms most, as far as the bytes go ([how](../exports.md#int8)). No weight was trained. *Moved*: by",
        "how much outputs on validation samples differ from the dense network's, root mean square. Bytes are those of",
        f"the file. The plan (one of {len(SHARES)}) and the layers were chosen on training samples.",
        "",
        "| network | what | bytes | score | moved | layers in floating point |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        for row in one["rows"]:
            floats = f"{row['floats']} of {row['layers']}" if "int8" in row["what"] or "both" in row["what"] else "all"
            lines.append(
                f"| {GROUNDS[name].label} | {row['what']} | {row['bytes']:,} | {row['score']:.4g} "
                f"| {100 * row['error']:.1f} % | {floats} |"
            )
    by_what = [{row["what"]: row for row in one["rows"]} for one in found.values()]
    pairs = [(rows["int8"], rows["both"]) for rows in by_what if {"int8", "both"} <= rows.keys()]
    lines += [
        "",
        "At the bytes of int8 alone both together move the outputs less on "
        f"{sum(ours['error'] < int8['error'] for int8, ours in pairs)} of {len(pairs)} networks, and have at least its "
        f"score on {sum(ours['score'] >= int8['score'] for int8, ours in pairs)}.",
        "",
    ]
    for name, one in found.items():
        said = f"{GROUNDS[name].label}: commit {one['commit']}, {one['date']}, {one['machine']}. {one.get('note', '')}"
        lines += [said.rstrip(), ""]
    return "\n".join(lines)


def main() -> None:
    """Do the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("run", "table"))
    parser.add_argument("networks", nargs="*", help=f"any of {', '.join(GROUNDS)}; all if not given")
    parser.add_argument("--data", type=Path, help="the folder with the data sets")
    parser.add_argument("--images", type=Path, help="the folder with the images of ResNet-18 and EfficientNet")
    parser.add_argument("--weights", type=Path, help="of ResNet-18: a checkpoint of the study at 64 pixels")
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    names = asked.networks or [*GROUNDS]
    files = {name: asked.runs / f"{name}.json" for name in names}
    if asked.part == "run":
        asked.runs.mkdir(parents=True, exist_ok=True)
        with Progress() as progress:
            for name, path in files.items():
                if path.exists() and read_json(path)["complete"]:
                    continue
                ground = GROUNDS[name]
                # A study calls both folders its data.
                given = {what.replace("images", "data"): getattr(asked, what) for what in ground.takes}
                about, rows = {**where_and_when(), "complete": False}, []
                for row in Bench(ground, given, asked.runs / "cache", progress).rows():
                    rows.append(asdict(row))
                    write_json(path, {**about, "rows": rows})
                write_json(path, {**about, "complete": True, "rows": rows})
        return
    found = {name: read_json(path) for name in GROUNDS if (path := asked.runs / f"{name}.json").exists()}
    write_text(DOCS, page(found))


if __name__ == "__main__":
    main()
