"""Three pretrained networks, the default sampler against rules: ``uv run python benchmarks/pretrained.py PART …``.

- ``race STUDY --data DIR --runs DIR``: one study with every sampler in turn, each with the same task, budget, seed and
  number of trials, a folder each. The same command goes on where it was stopped.
- ``table --runs DIR``: writes ``docs/benchmarks/pretrained.md`` and a picture of each front from these folders,
  whatever of them there is. (Pictures need a chromium.)

A race's seconds are those of its trials, proposals included. *Hypervolume* is the area that a front dominates between
(the bound, the reference score) and (no parameters, the dense model's score), on validation, as a share of that
rectangle; perplexities count by their logarithm.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from where_and_when import where_and_when

from rankfront import RankfrontError, Result, Task, run
from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.search.report.progress import Progress
from rankfront.search.results.front import area
from rankfront.studies import efficientnet_imagenette, minilm, smollm2

SAMPLERS = ("directions", "knapsack", "bottleneck", "energy")
COLORS = ("#0b6e99", "#2e7d32", "#e08e0b", "#7b4fa3")
DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
RACE, NOTE = "race.json", "note"
"""In a race's folder: where, when and with what it was begun; in that file, by hand, what else is to be known of it."""


@dataclass(frozen=True)
class Ground:
    """A study to race on: how its task is made, its bound on the parameters, the score that counts as nothing."""

    study: Callable[..., Task]
    bound: float
    parts: tuple[float, ...]
    """Shares of the dense model's parameters at which the best score is listed."""
    trials: int
    reference: Callable[[float], float]
    """The score at which a gain is 0, given the dense model's."""
    options: dict[str, Any]
    """For the study, besides ``data``."""
    log: bool = False


GROUNDS = {
    "efficientnet-imagenette": Ground(
        efficientnet_imagenette.study, 0.5, (0.5, 0.35, 0.25), 6, lambda dense: 0.1, {"image_size": 160}
    ),
    "minilm": Ground(minilm.study, 0.75, (0.75, 0.65, 0.6), 8, lambda dense: 0.0, {}),
    "smollm2": Ground(smollm2.study, 0.95, (0.95, 0.85, 0.75, 0.6), 6, lambda dense: 10 * dense, {}, log=True),
}


@dataclass(frozen=True)
class Race:
    """What one sampler's trials came to: a row each of seconds so far, share of the parameters, score."""

    sampler: str
    result: Result
    known: dict[str, Any]
    seconds: list[float]
    shares: list[float]
    scores: list[float]

    @classmethod
    def read(cls, folder: Path) -> Race | None:
        """Return the race in a folder; None where no trial of it is complete."""
        try:
            result = Result.open(folder)
            known = read_json(folder / RACE)
        except RankfrontError:
            return None
        spent, clock = 0.0, {}
        for trial in result.study.get_trials(deepcopy=False):
            if trial.datetime_start and trial.datetime_complete:
                spent += (trial.datetime_complete - trial.datetime_start).total_seconds()
            clock[trial.number] = spent
        done = result.scored
        if not done:
            return None
        shares = [t.metrics["params"] / result.dense.metrics["params"] for t in done]
        return cls(folder.name, result, known, [clock[t.trial] for t in done], shares, [t.score for t in done])

    def within(self, seconds: float) -> Sequence[int]:
        """Return the places of the trials that ended within so many seconds."""
        return [i for i, at in enumerate(self.seconds) if at <= seconds]

    def best(self, share: float, among: Sequence[int]) -> str:
        """Return the best score of these trials within a share of the parameters, as it is shown."""
        scale = self.result.scale
        inside = [scale.minimised(self.scores[i]) for i in among if self.shares[i] <= share]
        return scale.show(scale.minimised(min(inside))) if inside else "–"

    def volume(self, ground: Ground, among: Sequence[int]) -> float:
        """Return the hypervolume of these trials."""
        dense, turned = self.result.dense.score, self.result.scale.minimised
        value = (lambda s: math.log(turned(s))) if ground.log else turned
        zero, one = value(ground.reference(dense)), value(dense)
        gains = [max(0.0, (zero - value(self.scores[i])) / (zero - one)) for i in among]
        return area(np.array([self.shares[i] / ground.bound for i in among]), np.array(gains)) if gains else 0.0


def race(name: str, data: Path, runs: Path, trials: int | None, samplers: Sequence[str], steps: int | None) -> None:
    """Run a study with every sampler, or go on with it."""
    ground = GROUNDS[name]
    with Progress() as progress:
        task = ground.study(data, progress=progress, **ground.options)
        if steps is not None:
            task = replace(task, finetune=replace(task.finetune, steps=steps))
        shared = runs / name / "decompositions"
        shared.mkdir(parents=True, exist_ok=True)
        for sampler in samplers:
            folder = runs / name / sampler
            folder.mkdir(exist_ok=True)
            if not (folder / "cache").exists():
                (folder / "cache").symlink_to(shared.resolve(), target_is_directory=True)
            if not (folder / RACE).exists():
                write_json(folder / RACE, where_and_when())
            progress.say(f"{name}: {sampler}")
            run(
                task,
                out=folder,
                sampler=sampler,
                objectives="score,params",
                trials=trials or ground.trials,
                device="cpu",
                progress=progress,
            )


def section(name: str, races: Sequence[Race]) -> str:
    """Return the Markdown of one study."""
    ground, first = GROUNDS[name], races[0]
    dense, scale, identity = first.result.dense, first.result.scale, first.result.identity
    steps, epochs = identity.get("finetune steps"), identity.get("finetune epochs")
    long = f"{steps} steps" if steps is not None else f"{epochs} epoch{'s' * (epochs != 1)}"
    fastest = min((r.seconds[-1] for r in races if r.sampler != SAMPLERS[0]), default=first.seconds[-1])
    known = {key: ", ".join(dict.fromkeys(str(r.known.get(key)) for r in races)) for key in first.known}
    parts = [f"≤ {100 * part:g} %" for part in ground.parts]
    head = ["sampler", "trials", "seconds", *parts, "hypervolume", f"hypervolume within {fastest:.0f} s", "test"]
    lines = [
        f"## {name}",
        "",
        f"Dense: {scale.name} {scale.show(dense.score)} on {dense.samples['validation']:,} validation samples, "
        f"{dense.metrics['params']:,} parameters. At most {100 * ground.bound:g} % of them; {long} a trial, batches of "
        f"{identity.get('finetune batch_size')}; kinds {', '.join(identity.get('kinds', []))}. "
        f"{known['date']}, {known['machine']}, torch {known['torch']}, commit {known['commit']}.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for one in races:
        everything, early = range(len(one.scores)), one.within(fastest)
        tested = one.result.test_score(one.result.best_trial().trial)
        lines.append(
            "| "
            + " | ".join(
                [
                    f"`{one.sampler}`",
                    str(len(one.scores)),
                    f"{one.seconds[-1]:.0f}",
                    *(one.best(part, everything) for part in ground.parts),
                    f"{one.volume(ground, everything):.3f}",
                    f"{one.volume(ground, early):.3f} ({len(early)} trials)",
                    scale.show(tested),
                ]
            )
            + " |"
        )
    notes = [f"`{one.sampler}`: {one.known[NOTE]}." for one in races if one.known.get(NOTE)]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def picture(name: str, races: Sequence[Race], path: Path) -> bool:
    """Draw every race's trials and front as PNG by a headless chromium; return whether there is one."""
    figure = go.Figure()
    scale = races[0].result.scale
    factor, unit = scale.axis
    for one, color in zip(races, COLORS, strict=False):
        best, front = math.inf, []
        for i in sorted(range(len(one.scores)), key=lambda i, one=one: one.shares[i]):
            if scale.minimised(one.scores[i]) < best:
                best = scale.minimised(one.scores[i])
                front.append(i)
        x, y = [[100 * one.shares[i] for i in front], [factor * one.scores[i] for i in front]]
        figure.add_scatter(x=x, y=y, name=one.sampler, mode="lines+markers", line={"color": color, "shape": "hv"})
    dense, log = factor * races[0].result.dense.score, GROUNDS[name].log
    figure.add_hline(dense, line={"color": "black", "width": 1})
    # On a logarithmic axis Plotly takes an annotation's place as an exponent, but a line's as it is.
    at = math.log10(dense) if log else dense
    figure.add_annotation(x=1, xref="paper", y=at, text="dense", showarrow=False, xanchor="right", yanchor="bottom")
    figure.update_layout(template="plotly_white", width=760, height=380, margin={"t": 30, "r": 20}, title=name)
    figure.update_xaxes(title="parameters kept, % of the dense model")
    figure.update_yaxes(title=f"validation {scale.name}{unit}", type="log" if log else "linear")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        figure.write_html(page, include_plotlyjs=True, config={"displayModeBar": False})
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--virtual-time-budget=5000",
            "--hide-scrollbars",
        ]
        flags += [f"--user-data-dir={folder}/profile", "--window-size=780,400", f"--screenshot={path}"]
        try:
            subprocess.run(["chromium", *flags, page.as_uri()], capture_output=True, timeout=120, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"no picture of {name}: {error}")
            return False
    return True


def table(runs: Path) -> None:
    """Write the page of all races that there are."""
    DOCS.mkdir(parents=True, exist_ok=True)
    text = ["# Pretrained networks", "", "Written by `benchmarks/pretrained.py table`; do not edit.", ""]
    text += ["A race's seconds" + (__doc__ or "").partition("A race's seconds")[2].rstrip(), ""]
    for name in GROUNDS:
        races = [r for s in SAMPLERS if (r := Race.read(runs / name / s)) is not None]
        if not races:
            text += [f"## {name}", "", "Not run yet.", ""]
            continue
        text += [section(name, races), ""]
        if picture(name, races, DOCS / f"{name}.png"):
            text += [f"![The fronts of {name}]({name}.png)", ""]
    write_text(DOCS / "pretrained.md", "\n".join(text))


def main() -> None:
    """Race, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("part", choices=["race", "table"])
    parser.add_argument("study", nargs="?", choices=list(GROUNDS))
    parser.add_argument("--data", type=Path, default=Path("data"), help="as for `rankfront run STUDY`")
    parser.add_argument("--runs", type=Path, default=Path("runs") / "benchmark-pretrained")
    parser.add_argument("--trials", type=int, help="of each sampler")
    parser.add_argument("--steps", type=int, help="of a trial's fine-tune")
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    arguments = parser.parse_args()
    if arguments.part == "table":
        table(arguments.runs)
    elif arguments.study is None:
        parser.error("race needs a study")
    else:
        samplers = arguments.samplers.split(",")
        race(arguments.study, arguments.data, arguments.runs, arguments.trials, samplers, arguments.steps)


if __name__ == "__main__":
    main()
