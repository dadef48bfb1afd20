"""A study of 5,000 trials: ``uv run python benchmarks/long_study.py``.

Everything is real (sampler, SQLite, files, the page) but the trials, whose score is a formula. Prints, around the 100th
and the 5,000th trial, the CPU time of a proposal and of all else that a trial costs (mostly SQLite), and the process's
memory; then what the page takes to write, and how large it is. With ``--fill`` the trials in between are not proposed:
minutes in place of most of an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from optuna.trial import Trial, TrialState
from torch import nn

from rankfront import FineTune, Plan, Result, Task
from rankfront.objectives.objective import Objective
from rankfront.objectives.outcome import Outcome
from rankfront.search.report.page import write_report
from rankfront.search.report.progress import Progress
from rankfront.search.samplers.asker import Asker
from rankfront.search.space.arrays import Choices
from rankfront.search.storage.database import warnings_only
from rankfront.search.storage.slots import SLOT
from rankfront.search.storage.study_storage import set_params, set_user_attrs
from rankfront.search.storage.trials import METRICS, PLAN, SCORE, SCORE_BEFORE_FINETUNING, SHARES
from rankfront.search.study.loop import TrialLoop
from rankfront.search.study.opening import opened
from rankfront.search.study.preparing import prepared
from rankfront.search.study.settings import Settings

MEASURED = 40
"""So many trials are measured each time."""


class Stub(Objective):
    """An objective whose trials take no time: the score falls with the layers' errors, and is noisy."""

    def __call__(self, plan: Plan, seed: int, **_: Any) -> Outcome:
        """Return a made-up outcome."""
        score = self.score_before_finetuning(plan) + 1e-3 * np.random.default_rng(seed).standard_normal()
        return Outcome(float(np.clip(score, 0, 1)), self.costs.of(plan), nn.Linear(1, 1))

    def score_before_finetuning(self, plan: Plan) -> float:
        """Return the made-up score without its noise."""
        lost = sum(self.decompositions.error(self.by_name[name], choice) for name, choice in plan.items())
        return float(np.clip(1 - 0.05 * lost, 0, 1))


@contextlib.contextmanager
def stub_study(layers: int, trials: int, storage: str | None = None) -> Iterator[TrialLoop]:
    """Yield a study of a made-up network, ready for its trials, in a temporary folder."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(*(nn.Linear(32, 32) for _ in range(layers)))
    x, y = torch.randn(400, 32), torch.randint(10, (400,))
    task = Task(model, (x, y), (x, y), name="long", finetune=FineTune(epochs=0), calibration=256)
    progress, opening = Progress(shown=False), import_module("rankfront.search.study.opening").__dict__
    own, opening["Objective"] = opening["Objective"], Stub
    try:
        with tempfile.TemporaryDirectory() as folder, warnings_only():
            asked_for = Settings(
                out=Path(folder) / "out", storage=storage, trials=trials, device="cpu", budget="params=50%", seed=0
            )
            with opened(task, asked_for, progress, first=False) as study:
                yield prepared(study)
    finally:
        opening["Objective"] = own


def fill(loop: TrialLoop, count: int) -> None:
    """Write trials into a study until it has so many: each takes its layers' choices from trials that there are."""
    space, rng = loop.space, np.random.default_rng(0)
    parents = [trial for trial in loop.study.get_trials() if trial.state == TrialState.COMPLETE]
    for slot in range(len(loop.study.trials), count):
        params = {name: parents[rng.integers(len(parents))].params[name] for name in space.distributions}
        choices = space.choices(params)
        plan = space.plan(choices)
        outcome = loop.objective(plan, slot)
        found = {
            SLOT: slot,
            PLAN: plan.to_json(),
            SHARES: space.candidates.costs.shares(plan),
            SCORE: outcome.score,
            SCORE_BEFORE_FINETUNING: loop.objective.score_before_finetuning(plan),
            METRICS: dict(outcome.metrics),
        }
        trial = loop.study.ask()
        set_params(trial, params, space.distributions)
        set_user_attrs(trial, {**parents[rng.integers(len(parents))].user_attrs, **found})
        for metric, violation in space.violations(choices).items():
            trial.set_constraint(metric, violation)
        loop.study.tell(trial, [outcome.score, *(outcome.metrics[name] for name in loop.settings.objectives[1:])])


def resident_mib() -> float:
    """Return the process's memory in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def asked(loop: TrialLoop, trials: int) -> dict[str, float]:
    """Run a study to so many trials; return what its last ones took.

    These are the medians of a proposal and of all else, in seconds of CPU time, and the process's memory in MiB.
    """
    proposed: list[float] = []
    clock: list[float] = []
    own = Asker.suggest

    def timed(self: Asker, trial: Trial, slot: int) -> Choices:
        clock.append(time.process_time())
        try:
            return own(self, trial, slot)
        finally:
            proposed.append(time.process_time() - clock[-1])

    Asker.suggest = timed
    try:
        replace(loop, settings=replace(loop.settings, trials=trials)).run()
    finally:
        Asker.suggest = own
    proposal = median(proposed[-MEASURED:])
    rest = float(np.median(np.diff(clock[-MEASURED - 1 :]))) - proposal
    return {"proposal": proposal, "rest": rest, "memory": resident_mib()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--fill", action="store_true", help="write all but the first 100 and the last 50 at once")
    given = parser.parse_args()
    logging.disable()
    with stub_study(given.layers, given.trials) as loop:
        print("| around trial | a proposal | all else of a trial | memory |\n|---|---|---|---|", flush=True)
        for trials in (100, given.trials):
            if given.fill and trials > 100:
                fill(loop, trials - 50)
            took = asked(loop, trials)
            times = f"{1000 * took['proposal']:.0f} ms | {1000 * took['rest']:.0f} ms"
            print(f"| {trials:,} | {times} | {took['memory']:.0f} MiB |", flush=True)
        began = time.process_time()
        page = write_report(Result.open(loop.settings.folder.path))
        size = page.stat().st_size / 1e6
        database = sum(path.stat().st_size for path in loop.settings.folder.path.glob("study.db*")) / 1e6
        print(f"\nthe page: written in {time.process_time() - began:.1f} s, {size:.1f} MB; study.db: {database:.1f} MB")


if __name__ == "__main__":
    main()
