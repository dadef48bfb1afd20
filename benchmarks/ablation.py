"""The default sampler without one of its parts at a time: ``uv run python benchmarks/ablation.py PART …``.

- ``run --data DIR``: every race, a JSON file each in ``--runs``, where those of ``search.py`` lie as well; the same
  command goes on where it was stopped; ``--models``, ``--without`` and ``--seeds`` take some of them.
- ``table``: writes ``docs/benchmarks/ablation.md`` from these files, whatever of them there is.

A race without a part has the same models, bounds, trials and seeds as one with all parts (see `search.py`), and a
plan's n-th run comes out the same in both. So the difference of a seed's two races is due to the proposals alone.

- Hypervolume lost: that of all parts less that without the part, in hundredths of the rectangle between no parameters
  at the dense accuracy and the bound at chance; the mean over seeds ± its standard error, and how many seeds. Above 0
  the part pays.
- At the bound: the same of the best validation accuracy within the bound, in points.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from races import BOUNDS, TRIALS, arguments, carry_out, ground_named, race, race_of
from where_and_when import where_and_when

from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.search.report.progress import Progress
from rankfront.search.samplers.directions.observations import FrontObservations
from rankfront.search.samplers.registry import DEFAULT
from rankfront.search.space.space import Space

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "ablation.md"

MODELS = ("truth", "digits", "transformer", "deep")


def no_mutations(space: Space, observed: FrontObservations, *_: object) -> NDArray[np.int64]:
    """Return no plans ``(0, L)``."""
    return np.zeros((0, len(space.candidates.sizes)), np.int64)


@dataclass(frozen=True)
class Part:
    """A part of the default sampler, and what takes its place when it is removed."""

    title: str
    instead: Mapping[str, Any]
    """``module.name`` in the sampler's folder → its value without the part."""


PARTS = {
    "mutations": Part("plans of the front with layers changed", {"sampler.mutated": no_mutations}),
    "exponent": Part("gaps drawn by their weight to the 3rd power; without: 1st", {"gaps.EXPONENT": 1.0}),
    "middle": Part("proposals in the middle of a gap; without: anywhere in it", {"sampler.MIDDLE": (0.0, 1.0)}),
    "likeliest": Part("samples of the posterior; without: the most likely one", {"sampler.TEMPERATURE": 0.0}),
    "half": Part("samples at a temperature of ½; without: of the posterior as it is", {"sampler.TEMPERATURE": 1.0}),
    "model": Part(
        "what layers cost is learnt; without: a line on the rules' errors", {"sensitivity.FEATURE_STD": 1e-6}
    ),
    "repeats": Part("the last trials run the leaders again", {"leaders.ONE_IN": 10**9}),
    "dear fidelity": Part(
        "scores before fine-tuning within a tenth of a trial; without: at any cost", {"sampler.LOW_FIDELITY_SHARE": 1e9}
    ),
    "rules": Part("rules' plans among the candidates; without: `knapsack` only", {"sampler.STARTS": ("knapsack",)}),
}


@contextmanager
def without(part: str) -> Iterator[None]:
    """Run the default sampler without a part."""
    with ExitStack() as stack:
        for name, value in PARTS[part].instead.items():
            stack.enter_context(patch(f"rankfront.search.samplers.directions.{name}", value))
        yield


def run(given: argparse.Namespace) -> None:
    """Run the races that are not there."""
    with Progress() as progress:
        for model in given.models.split(","):
            ground, truth = ground_named(model, given, progress)
            for seed, part in itertools.product(range(given.seeds), ["", *given.without.split(",")]):
                path = given.runs / (
                    f"without {model} {part} {seed}.json" if part else f"race {model} {DEFAULT} {seed}.json"
                )
                if path.exists():
                    continue
                trials = []
                with without(part) if part else ExitStack():
                    for trial in race(ground, DEFAULT, seed, TRIALS[model]):
                        trials.append(asdict(trial))
                        progress(f"{model} without {part or 'nothing'}, seed {seed}", len(trials), TRIALS[model])
                found = {"model": model, "sampler": DEFAULT, "seed": seed, "dense": ground.dense, "truth": truth}
                title = PARTS[part].title if part else ""
                write_json(path, {**found, "without": title, "trials": trials, "known": where_and_when()})
            ground.memory.save()


def lost(runs: Path, files: Sequence[Path]) -> tuple[str, str]:
    """Return what is lost in races without a part: hypervolume, and accuracy at the bound."""
    volumes, bests = [], []
    for path in files:
        less = race_of(read_json(path))
        whole = race_of(read_json(runs / f"race {less.model} {DEFAULT} {less.seed}.json"))
        volumes.append(100 * (whole.volumes[-1] - less.volumes[-1]))
        bests.append(100 * (whole.best_validation - less.best_validation))
    return _mean(volumes), _mean(bests)


def _mean(differences: list[float]) -> str:
    if len(differences) < 2:
        return f"{differences[0]:+.2f}" if differences else "–"
    return f"{np.mean(differences):+.2f} ± {np.std(differences, ddof=1) / len(differences) ** 0.5:.2f}"


def table(runs: Path) -> None:
    """Write the page of all races that there are, also of parts that are gone since."""
    files: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(runs.glob("without *.json")):
        known = read_json(path)
        files.setdefault(known["without"], {}).setdefault(known["model"], []).append(path)
    models = [model for model in TRIALS if any(model in of for of in files.values())]
    about = (__doc__ or "").partition("A race without")
    head = [
        "# The default sampler without one of its parts",
        "",
        "Written by `benchmarks/ablation.py table`; do not edit.",
    ]
    lines = [*head, "", (about[1] + about[2]).strip(), "", "| | trials | bound | measured |", "|---|---|---|---|"]
    for model in models:
        known = read_json(next(of[model][0] for of in files.values() if model in of))["known"]
        measured = f"{known['date']}, {known['machine']}, commit {known['commit']}"
        lines.append(f"| {model} | {TRIALS[model]} | {100 * BOUNDS[model]:g} % | {measured} |")
    for title, which in (("Hypervolume lost", 0), ("Accuracy lost at the bound", 1)):
        lines += ["", f"## {title}", "", "| part | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
        for part, of in files.items():
            cells = [f"{lost(runs, of[m])[which]} ({len(of[m])})" if m in of else "–" for m in models]
            lines.append(f"| {part} | " + " | ".join(cells) + " |")
    write_text(PAGE, "\n".join([*lines, ""]))


def main() -> None:
    """Race, or write the page."""
    parser = arguments(__doc__ or "", 5)
    parser.set_defaults(models=",".join(MODELS))
    parser.add_argument("--without", default=",".join(PARTS))
    carry_out(parser, run, table)


if __name__ == "__main__":
    main()
