"""The default sampler without one of its parts at a time: ``uv run python benchmarks/ablation.py PART …``.

- ``run --data DIR``: every race, a JSON file each in ``--runs``, where those of ``search.py`` lie as well; the same
  command goes on where it was stopped; ``--models``, ``--without`` and ``--seeds`` take some of them.
- ``table``: writes ``docs/benchmarks/ablation.md`` from these files; a model without any stays as it stands.

A race without a part has the same models, bounds, trials and seeds as one with all parts (see `search.py`), and a
plan's n-th run comes out the same in both. So the difference of a seed's two races is due to the proposals alone.
``shared`` is ``digits`` with weights that all plans share, trained once as ``--shared`` does.

- After so many trials: the hypervolume with all parts less that without the part, in hundredths of the rectangle
  between no parameters at the dense accuracy and the bound at chance; the mean over seeds ± its standard error. Above 0
  the part pays. Studies have tens of trials, so the first columns count more than the last.
- In the seconds of so many: the same when both have had the CPU seconds that all parts took for so many trials.
- At the bound: the same of the best validation accuracy within the bound after all trials, in points.
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
from sections import sections_of
from where_and_when import where_and_when

from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.search.report.progress import Progress
from rankfront.search.samplers.directions.observations import FrontObservations
from rankfront.search.samplers.registry import DEFAULT
from rankfront.search.space.space import Space

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "ablation.md"

MODELS = ("truth", "digits", "transformer", "deep", "shared")

EARLIER = "°"
"""Marks rows of an earlier run, on another machine perhaps."""

COUNTS = (10, 20, 50)
"""After so many trials, and after all, hypervolumes are compared."""


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
    "model": Part(
        "what layers cost is learnt; without: a line on the rules' errors", {"sensitivity.FEATURE_STD": 1e-6}
    ),
    "features": Part("prior of what is learnt; without: three times as wide", {"sensitivity.FEATURE_STD": 3.0}),
    "level": Part(
        "prior of level and slope; without: ten times as wide",
        {"sensitivity.LEVEL_STD": 10.0, "sensitivity.SLOPE_STD": 10.0},
    ),
    "model error": Part("the model's own error; without: a quarter of it", {"sensitivity.MODEL_ERROR": 0.05}),
    "nearest": Part("fitted to the 100 nearest trials; without: 30", {"observations.LARGEST_TRAINING_SET": 30}),
    "likeliest": Part("samples of the posterior; without: the most likely one", {"sampler.TEMPERATURE": 0.0}),
    "half": Part("samples at a temperature of ½; without: of the posterior as it is", {"sampler.TEMPERATURE": 1.0}),
    "rules": Part("rules' plans among the candidates; without: `knapsack` only", {"sampler.STARTS": ("knapsack",)}),
    "rule trials": Part("4 trials of rules first; without: 1", {"sampler.RULE_TRIALS": 1}),
    "mutations": Part("plans of the front with layers changed", {"sampler.mutated": no_mutations}),
    "fewer mutations": Part("64 of them; without: 16", {"mutations.MUTATIONS": 16}),
    "one parent": Part("of 3 parents; without: of the nearest", {"mutations.PARENTS": 1}),
    "one layer": Part("up to 3 layers changed; without: one", {"mutations.LAYERS": 1}),
    "small steps": Part("changed by several places; without: by one", {"mutations.STEP": 0.0}),
    "middle": Part("proposals in the middle of a gap; without: anywhere in it", {"sampler.MIDDLE": (0.0, 1.0)}),
    "exact middle": Part("proposals near the middle of a gap; without: exactly there", {"sampler.MIDDLE": (0.5, 0.5)}),
    "gain": Part(
        "half of what a score before fine-tuning tells is believed at first; without: all of it",
        {"sampler.PRIOR_GAIN": 1.0, "low_fidelity.PRIOR_GAIN": 1.0},
    ),
    "few scored": Part(
        "with shared weights 64 plans are scored a trial; without: 4, within a tenth of it",
        {"sampler.SCORED_SHARED": 4, "sampler.SHARED_SHARE": 0.1},
    ),
    "repeats": Part("the last trials run the leaders again", {"leaders.ONE_IN": 10**9}),
    "budget": Part("half of the proposals at the budget; without: one in twelve", {"sampler.AT_BUDGET": 12}),
    "first scored": Part(
        "scores before fine-tuning within a tenth of a trial; without: of the first 4 trials' rules, at any cost",
        {"sampler.SCORED_BEFORE": 0},
    ),
    "dear fidelity": Part(
        "scores before fine-tuning within a tenth of a trial; without: at any cost", {"sampler.LOW_FIDELITY_SHARE": 1e9}
    ),
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
                title = PARTS[part].title if part else ""
                known = {"model": model, "sampler": DEFAULT, "seed": seed, "dense": ground.dense, "truth": truth}
                known |= {"without": title, "trials": trials, "known": where_and_when()}
                whole = read_json(given.runs / f"race {model} {DEFAULT} {seed}.json")["trials"] if part else trials
                write_json(path, known | {"whole": whole})
            ground.memory.save()


def lost(files: Sequence[Path], counts: Sequence[int]) -> list[str]:
    """Return what is lost in races without a part: after so many trials, in the seconds of the second, at the bound."""
    losses: list[list[float]] = []
    for path in files:
        known = read_json(path)
        less, whole = race_of(known), race_of(known | {"trials": known["whole"]})
        volumes = [100 * (whole.volumes[n - 1] - less.volumes[n - 1]) for n in counts]
        in_time = 100 * (whole.volumes[counts[1] - 1] - less.volume_at(whole.clock[counts[1] - 1]))
        losses.append([*volumes, in_time, 100 * (whole.best_validation - less.best_validation)])
    return [_mean(list(column)) for column in zip(*losses, strict=True)]


def _mean(differences: list[float]) -> str:
    if len(differences) < 2:
        return f"{differences[0]:+.2f}"
    return f"{np.mean(differences):+.2f} ± {np.std(differences, ddof=1) / len(differences) ** 0.5:.2f}"


def rows_kept(section: Sequence[str], titles: set[str]) -> tuple[list[str], str]:
    """Return a section's rows, marked, of parts that are not measured anew, and when and where they were measured."""
    kept, measured, earlier = [], False, f" Rows with {EARLIER}: "
    for row in section:
        title = row.removeprefix("| ").removeprefix(f"{EARLIER} ").removeprefix("gone since: ").partition(" |")[0]
        if row.startswith("| ") and title not in {"part", *titles}:
            kept.append(f"| {EARLIER} {row.removeprefix('| ').removeprefix(f'{EARLIER} ')}")
            measured |= not row.startswith(f"| {EARLIER}")
    about = next((line for line in section if line.startswith("At most")), "").partition("parameters. ")[2]
    last, _, before = about.partition(earlier)
    return kept, " ".join([last] * measured + [before] * bool(before))


def table(runs: Path) -> None:
    """Write the page of all races that there are, also of parts that are gone since."""
    files: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(runs.glob("without *.json")):
        known = read_json(path)
        files.setdefault(known["model"], {}).setdefault(known["without"], []).append(path)
    titles = [part.title for part in PARTS.values()]
    about = (__doc__ or "").partition("A race without")
    head = "# The default sampler without one of its parts"
    lines = [head, "", "Written by `benchmarks/ablation.py table`; do not edit.", "", (about[1] + about[2]).strip()]
    before = sections_of(PAGE)
    for model in (model for model in TRIALS if model in files or model in before):
        if model not in files:
            lines += ["", *before[model][:-1]]
            continue
        counts = [n for n in COUNTS if n < TRIALS[model]] + [TRIALS[model]]
        commits = sorted({read_json(path)["known"]["commit"] for paths in files[model].values() for path in paths})
        known = read_json(next(iter(files[model].values()))[0])["known"]
        measured = f"{known['date']}, {known['machine']}, commits {', '.join(commits)}"
        kept, earlier = rows_kept(before.get(model, []), set(files[model]))
        about_kept = f" Rows with {EARLIER}: {earlier}" if kept else ""
        bound = f"At most {100 * BOUNDS[model]:g} % of the parameters."
        lines += ["", f"## {model}", "", f"{bound} {measured}.{about_kept}", ""]
        columns = [*(f"after {n}" for n in counts), f"in the seconds of {counts[1]}", "at the bound", "seeds"]
        lines += ["| part | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        of = files[model]
        for part in [title for title in titles if title in of] + [title for title in of if title not in titles]:
            gone = "" if part in titles else "gone since: "
            lines.append(f"| {gone}{part} | " + " | ".join([*lost(of[part], counts), str(len(of[part]))]) + " |")
        lines += kept
    write_text(PAGE, "\n".join([*lines, ""]))


def main() -> None:
    """Race, or write the page."""
    parser = arguments(__doc__ or "", 5)
    parser.set_defaults(models=",".join(MODELS))
    parser.add_argument("--without", default=",".join(PARTS))
    carry_out(parser, run, table)


if __name__ == "__main__":
    main()
