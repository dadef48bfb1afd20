"""Every sampler on the same models: ``uv run python benchmarks/search.py PART …``.

- ``run --data DIR --images DIR``: every race, a JSON file each in ``--runs``; the same command goes on where it was
  stopped; ``--models``, ``--samplers`` and ``--seeds`` take some of them.
- ``table``: writes ``docs/benchmarks/samplers.md`` from these files; a model without any stays as it stands.

Models, each with a bound on its parameters: ``truth`` (a perceptron of four layers with eight choices each on 5,000
MNIST images, of which every plan within the bound is fine-tuned first), ``digits``, ``mnist-mlp`` (the ready studies),
``resnet`` (a small ResNet on Imagenette at 64 px, fine-tuned for 30 steps), ``transformer`` (38 layers) and ``deep``
(60 layers), both on the data of ``digits``. Constants of the default sampler were chosen on the first four, none on the
last two. Dense models, seeds, trials and fine-tuning are the same for all; a plan's n-th run comes out the same in all
races of a seed; nothing is chosen by test accuracy. *After rules*: the first five trials are the plans of `uniform`,
`energy`, `evbmf`, `knapsack` and `bottleneck` at the bound. `directions` is the default sampler: half of its trials are
at the bound, and with *front* (``--focus front``) one in twelve. Every proposal of other libraries' samplers (Optuna's,
Ax, SMAC; see `rivals.py`) is repaired to the nearest plan within the bound. OptunaHub's AutoSampler is not there: its
code is fetched from the network when it is asked for. What a section lacks was too dear on two cores without a GPU:
more seeds, other rules and other samplers, and ``resnet`` (half an hour for its dense model, before the first race).

- Hypervolume: the area that the front dominates in (params / bound, accuracy), from (1, chance) to (0, the dense
  model's accuracy), as a share of that rectangle; on validation.
- Missing (of ``truth``): how much of the true front's hypervolume is not there.
- At equal seconds: what a race had when the shortest one of its model ended. Seconds are those of one thread's CPU.
- Validation, test: accuracy in % of the plan that validation chooses within the bound, half and a quarter of it.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from races import BOUNDS, PARTS, TRIALS, Race, arguments, carry_out, ground_named, race, race_of
from rivals import RIVALS
from sections import sections_of
from where_and_when import where_and_when

from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.search.allocation.registry import rule_named
from rankfront.search.report.progress import Progress
from rankfront.search.samplers.directions.sampler import STARTS
from rankfront.search.samplers.history import History
from rankfront.search.samplers.registry import SAMPLERS, make_sampler
from rankfront.search.samplers.sampler import Sampler
from rankfront.search.space.arrays import Choices

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "samplers.md"

MODELS = tuple(model for model in TRIALS if model != "shared")
"""Where all plans share weights, other samplers would not score them."""

AFTER_RULES, FRONT = "after rules", "front"


class AfterRules:
    """Another sampler's proposals, after the plans of the rules at the bound."""

    def __init__(self, name: str) -> None:
        self.sampler = RIVALS[name] if name in RIVALS else make_sampler(name)

    def propose(self, history: History, slot: int, /) -> Choices:
        """Return a rule's choices in the first slots."""
        if slot < len(STARTS):
            space = history.problem.space
            choices = rule_named(STARTS[slot])(space.candidates, dict(space.limits))
            if choices is not None:
                return choices
        return np.asarray(self.sampler.propose(history, slot), np.int64)


def sampler_of(name: str) -> str | Sampler:
    """Return a sampler by its name in the tables."""
    if name.endswith(AFTER_RULES):
        return AfterRules(name.partition(" ")[0])
    return RIVALS.get(name, name.removesuffix(f" {FRONT}"))


def table_of(races: list[Race], truth: float | None) -> list[str]:
    """Return one model's Markdown, best first."""
    by_sampler: dict[str, list[Race]] = {}
    for one in races:
        by_sampler.setdefault(one.sampler, []).append(one)
    final = {name: np.array([one.volumes[-1] for one in of]) for name, of in by_sampler.items()}
    shortest = min(float(np.mean([one.clock[-1] for one in of])) for of in by_sampler.values())
    head = [
        "sampler",
        "after 10 trials",
        "hypervolume",
        "at equal seconds",
        *(["missing"] if truth else []),
        "validation, ½, ¼",
        "test, ½, ¼",
        "seconds",
    ]
    lines = ["| " + " | ".join([*head, "ms a proposal"]) + " |", "|---" * (len(head) + 1) + "|"]
    for name in sorted(final, key=lambda name: -float(np.mean(final[name]))):
        of = by_sampler[name]
        seeds = "" if len(of) == max(map(len, by_sampler.values())) else f" ({len(of)} seeds)"
        row = [f"`{name}`{seeds}", f"{np.mean([one.volumes[9] for one in of]):.4f}"]
        row += [f"{final[name].mean():.4f}" + (f" ± {final[name].std():.4f}" if len(of) > 1 else "")]
        row += [f"{np.mean([one.volume_at(shortest) for one in of]):.4f}"]
        row += [f"{(1 - final[name] / truth).mean():.2%}"] if truth else []
        best = [[one.best(part) for one in of] for part in PARTS]
        row += [", ".join(_percent([scores[split] for scores in part]) for part in best) for split in (0, 1)]
        row += [f"{np.mean([one.clock[-1] for one in of]):.0f}"]
        row += [f"{1000 * np.median([t.proposal for one in of for t in one.trials]):.0f}"]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def _percent(scores: Sequence[float]) -> str:
    known = [score for score in scores if not np.isnan(score)]
    return f"{np.mean(known):.1f}" if known else "–"


def run(given: argparse.Namespace) -> None:
    """Run the races that are not there."""
    with Progress() as progress:
        for model in given.models.split(","):
            ground, truth = ground_named(model, given, progress)
            samplers: list[str] = given.samplers.split(",")
            for seed, sampler in itertools.product(range(given.seeds), samplers):
                path = given.runs / f"race {model} {sampler} {seed}.json"
                if path.exists():
                    continue
                trials = []
                front = sampler.endswith(FRONT)
                for trial in race(ground, sampler_of(sampler), seed, TRIALS[model], front=front):
                    trials.append(asdict(trial))
                    progress(f"{model}, {sampler}, seed {seed}", len(trials), TRIALS[model])
                known = {"model": model, "sampler": sampler, "seed": seed, "dense": ground.dense, "truth": truth}
                write_json(path, {**known, "trials": trials, "known": where_and_when()})
            ground.memory.save()


def table(runs: Path) -> None:
    """Write the page of all races that there are, of the seeds that all samplers of a model have."""
    before = sections_of(PAGE)
    found = [read_json(path) for path in sorted(runs.glob("race *.json"))]
    lines = ["# Samplers compared", "", "Written by `benchmarks/search.py table`; do not edit.", ""]
    lines += [
        "An older page on more models, of a sampler that did not know the loss: [before](samplers-before.md).",
        "",
        "".join((__doc__ or "").partition("Models, each")[1:]).strip(),
        "",
    ]
    for model in MODELS:
        of = [one for one in found if one["model"] == model]
        run_by = {one["sampler"]: {other["seed"] for other in of if other["sampler"] == one["sampler"]} for one in of}
        common = set.intersection(*run_by.values()) if run_by else set()
        of = [one for one in of if one["seed"] in common]
        if not of:
            lines += before.get(model) or [f"## {model}", "", "Not run yet.", ""]
            continue
        lines += [f"## {model}", ""]
        known = of[-1]["known"]
        commits = sorted({one["known"]["commit"] for one in of})
        races = [race_of(one) for one in of]
        seeds = len(common)
        lines += [
            f"Dense {100 * races[0].dense:.2f} % on validation, at most {100 * BOUNDS[model]:g} % of the parameters, "
            f"{TRIALS[model]} trials, {seeds} seed{'s' * (seeds > 1)}. "
            f"{known['date']}, {known['machine']}, commit{'s' * (len(commits) > 1)} "
            f"{', '.join(commits)}.",
            "",
            *table_of(races, of[0]["truth"]),
            "",
        ]
    write_text(PAGE, "\n".join(lines))


def main() -> None:
    """Race, or write the page."""
    parser = arguments(__doc__ or "", 3)
    parser.set_defaults(models=",".join(MODELS))
    rivals = [f"{name} {AFTER_RULES}" for name in ("tpe", "nsga2", "gp", *RIVALS)]
    parser.add_argument(
        "--samplers", default=",".join([*SAMPLERS, f"directions {FRONT}", *rivals]), help="*SAMPLER after rules*, too"
    )
    carry_out(parser, run, table)


if __name__ == "__main__":
    main()
