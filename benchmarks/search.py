"""Every sampler on the same models: ``uv run python benchmarks/search.py --data mnist --images imagenette2``.

Models, each with a bound on its parameters: ``truth`` (a perceptron of four layers with eight choices each on 5,000
MNIST images, of which all 4,096 plans are fine-tuned first), ``digits``, ``mnist-mlp`` (the ready studies), ``resnet``
(a small ResNet on Imagenette at 64 px, fine-tuned for 30 steps). Same dense models, seeds, trials and fine-tuning for
all; nothing is chosen by test accuracy.

- hypervolume: the area that the front dominates in (params / bound, accuracy), from (1, chance) to (0, the dense
  model's accuracy), as a share of that rectangle; on validation.
- regret (of ``truth``): how much of the true front's hypervolume is missing.

Races that were run already are read from ``--cache``. Writes ``search.csv`` and ``search.html`` to ``--out`` and prints
the tables of docs/benchmarks/samplers.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import platformdirs
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from search_grounds import Ground, gain, ground_of, name_of, perceptron, resnet, tabulated

from rankfront import Task
from rankfront.objectives.io.files import write_text
from rankfront.objectives.metrics.scale import ACCURACY
from rankfront.search.report.progress import Progress
from rankfront.search.results.front import area
from rankfront.search.samplers.asker import Asker
from rankfront.search.samplers.problem import Problem
from rankfront.search.samplers.registry import DEFAULT, SAMPLERS
from rankfront.search.storage.repeats import runs_of
from rankfront.search.storage.slots import SLOT, seed_for
from rankfront.search.storage.trials import SCORE, SCORE_BEFORE_FINETUNING
from rankfront.studies import digits, mnist_mlp

TRIALS = {"truth": 205, "digits": 30, "mnist-mlp": 20, "resnet": 12}
BOUNDS = {"truth": 0.30, "digits": 0.10, "mnist-mlp": 0.03, "resnet": 0.15}
"""Of the dense model's parameters."""

PARTS = (1.0, 0.5, 0.25)
"""Of the bound: where accuracy is reported."""


@dataclass(frozen=True)
class Trial:
    """One trial of a race; ``used`` is a share of the bound."""

    plan: str
    accuracy: float
    test: float
    used: float
    proposal_s: float
    seconds: float


@dataclass(frozen=True)
class Race:
    """One sampler's trials on one model."""

    model: str
    sampler: str
    seed: int
    trials: list[Trial]
    dense: float

    @cached_property
    def volumes(self) -> list[float]:
        """The hypervolume after each trial; of a plan's runs their mean counts."""
        found = []
        for n in range(1, len(self.trials) + 1):
            rows = self.trials[:n]
            runs = runs_of((t.plan, t.accuracy) for t in rows)
            gains = [gain(float(np.mean(runs[t.plan])), self.dense) for t in rows]
            found.append(area(np.array([t.used for t in rows]), np.array(gains)))
        return found

    def best_test(self, part: float) -> float:
        """Return the test accuracy, in %, of the plan that validation chooses within a part of the bound."""
        inside = [t for t in self.trials if t.used <= part]
        if not inside:
            return float("nan")
        scores = runs_of((t.plan, t.accuracy) for t in inside)
        best = max(scores, key=lambda plan: float(np.mean(scores[plan])))
        return 100 * float(np.mean([t.test for t in inside if t.plan == best]))


def race(ground: Ground, sampler: str, seed: int, trials: int) -> Iterator[Trial]:
    """Yield a sampler's trials, one by one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = ground.space
    study = optuna.create_study(directions=["maximize", "minimize"])
    scores = ground.factorized_score, ground.score_before_finetuning
    asker = Asker(study, Problem(space, seed, trials, *scores, ACCURACY, ground.samples, ("params",)), sampler)
    for slot in range(trials):
        began = time.perf_counter()
        trial = study.ask()
        trial.set_user_attr(SLOT, slot)
        choices = asker.suggest(trial, slot)
        proposed = time.perf_counter() - began
        plan = space.plan(choices)
        for metric, violation in space.violations(choices).items():
            trial.set_constraint(metric, violation)
        score, test, before = ground.run(plan, seed_for(seed, slot, "trial"))
        trial.set_user_attr(SCORE, score)
        trial.set_user_attr(SCORE_BEFORE_FINETUNING, before)
        params = space.candidates.costs.of(plan).params
        study.tell(trial, [score, params])
        used = params / space.limits["params"]
        yield Trial(name_of(space, plan), score, test, used, proposed, time.perf_counter() - began)


def table_of(races: list[Race], truth: float | None) -> str:
    """Return one model's table for docs/benchmarks/samplers.md, best first."""
    model, dense = races[0].model, races[0].dense
    by_sampler: dict[str, list[Race]] = {}
    for one in races:
        by_sampler.setdefault(one.sampler, []).append(one)
    final = {name: [one.volumes[-1] for one in of] for name, of in by_sampler.items()}
    bar = max((float(np.mean(v)) for name, v in final.items() if name != DEFAULT), default=0.0)
    regret = ["regret"] if truth else []
    parts = [f"test %, {part:.0%} of the bound" for part in PARTS]
    head = ["sampler", "hypervolume", *regret, *parts, f"trials to {bar:.4f}", "ms a proposal"]
    lines = [
        f"\n**{model}**: dense {100 * dense:.2f} % on validation, at most {100 * BOUNDS[model]:g} % of the parameters, "
        f"{TRIALS[model]} trials, {len(next(iter(final.values())))} seeds\n",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for name in sorted(final, key=lambda name: -float(np.mean(final[name]))):
        of = by_sampler[name]
        mean = np.mean([one.volumes for one in of], 0)
        row = [f"`{name}`", f"{np.mean(final[name]):.4f} ± {np.std(final[name]):.4f}"]
        row += [f"{np.mean([1 - v / truth for v in final[name]]):.3%}"] if truth else []
        row += [f"{np.nanmean([one.best_test(part) for one in of]):.2f}" for part in PARTS]
        row += [next((str(n) for n, v in enumerate(mean, 1) if v >= bar - 1e-12), "–")]
        row += [f"{1000 * np.median([t.proposal_s for one in of for t in one.trials]):.0f}"]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def page(races: list[Race]) -> go.Figure:
    """Draw hypervolume over trials and over seconds, a row a model, the mean over seeds."""
    models = list(dict.fromkeys(one.model for one in races))
    titles = [f"{model}, over {what}" for model in models for what in ("trials", "seconds")]
    figure = make_subplots(len(models), 2, subplot_titles=titles, vertical_spacing=0.3 / len(models))
    colors = [
        "#0b6e99",
        "#e08e0b",
        "#7b4fa3",
        "#2e7d32",
        "#d1495b",
        "#8c564b",
        "#17becf",
        "#999999",
        "#bcbd22",
        "#e377c2",
        "#393b79",
    ]
    shown: set[str] = set()
    for row, model in enumerate(models, 1):
        for name, color in zip(SAMPLERS, colors, strict=True):
            of = [one for one in races if (one.model, one.sampler) == (model, name)]
            if not of:
                continue
            height = np.mean([one.volumes for one in of], 0)
            clock = np.mean([np.cumsum([t.seconds for t in one.trials]) for one in of], 0)
            for column, x in ((1, np.arange(1, len(height) + 1)), (2, clock)):
                figure.add_scatter(
                    x=x,
                    y=height,
                    name=name,
                    legendgroup=name,
                    showlegend=name not in shown,
                    line={"color": color, "width": 3 if name == DEFAULT else 1.5},
                    row=row,
                    col=column,
                )
                shown.add(name)
    figure.update_layout(template="plotly_white", height=360 * len(models), width=1200, margin={"t": 40})
    figure.update_yaxes(title="hypervolume")
    return figure


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", default=",".join(TRIALS))
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds MNIST")
    parser.add_argument("--images", type=Path, default=Path("data"), help="the folder that holds train/ and val/")
    parser.add_argument("--cache", type=Path, default=platformdirs.user_cache_path("rankfront") / "benchmark-search")
    parser.add_argument("--out", type=Path, default=Path("runs") / "benchmark-search")
    arguments = parser.parse_args()
    tasks: dict[str, Callable[[Progress], Task]] = {
        "truth": lambda progress: perceptron(arguments.data, progress),
        "digits": lambda progress: digits.study(progress=progress),
        "mnist-mlp": lambda progress: mnist_mlp.study(arguments.data, device="cpu", progress=progress),
        "resnet": lambda progress: resnet(arguments.images, progress),
    }
    races: list[Race] = []
    tables: list[str] = []
    with Progress() as progress:
        for model in arguments.models.split(","):
            ground = ground_of(tasks[model](progress), BOUNDS[model], arguments.cache, 8 if model == "truth" else None)
            truth = None
            if model == "truth":
                ground, truth = tabulated(ground, arguments.cache, progress)
            of: list[Race] = []
            samplers: list[str] = arguments.samplers.split(",")
            for seed, sampler in ((seed, sampler) for seed in range(arguments.seeds) for sampler in samplers):
                path = arguments.cache / f"{model}-{sampler}-{seed}.json"
                trials = [Trial(**known) for known in json.loads(path.read_text())] if path.exists() else []
                if len(trials) != TRIALS[model]:
                    trials = []
                    for trial in race(ground, sampler, seed, TRIALS[model]):
                        trials.append(trial)
                        progress(f"{model}, {sampler}, seed {seed}", len(trials), TRIALS[model])
                    write_text(path, json.dumps([asdict(trial) for trial in trials]))
                of.append(Race(model, sampler, seed, trials, ground.dense))
            races += of
            tables.append(table_of(of, truth))
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "model": one.model,
            "sampler": one.sampler,
            "seed": one.seed,
            "trial": n,
            **asdict(trial),
            "hypervolume": volume,
        }
        for one in races
        for n, (trial, volume) in enumerate(zip(one.trials, one.volumes, strict=True))
    ]
    pd.DataFrame(rows).to_csv(arguments.out / "search.csv", index=False)
    page(races).write_html(arguments.out / "search.html", include_plotlyjs=True, config={"displayModeBar": False})
    machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    print(f"\n{date.today()}, {machine}, torch {torch.__version__}, optuna {optuna.__version__}")
    print("\n".join(tables))


if __name__ == "__main__":
    main()
