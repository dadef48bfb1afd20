"""A study of 5,000 trials: ``uv run python benchmarks/long_study.py``.

Everything is real (sampler, SQLite, files, the page) but the trials, whose score is a formula. Prints, around
the 100th, 1,000th and 5,000th trial, the time of a proposal, of all else that a trial costs (mostly SQLite), and the
process's memory; then what the page takes to write, and how large it is.
"""

from __future__ import annotations

import argparse
import logging
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rankfront import FineTune, Plan, Task, run
from rankfront.objectives.objective import Objective
from rankfront.objectives.outcome import Outcome
from rankfront.search.report.page import write_report
from rankfront.search.samplers.asker import Asker

MARKS = (100, 1000, 5000)


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


def timed(function: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    """Return the function, its seconds noted."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            into.append(time.perf_counter() - began)

    return call


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=MARKS[-1])
    parser.add_argument("--layers", type=int, default=20)
    arguments = parser.parse_args()
    logging.disable()
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(32, 32) for _ in range(arguments.layers)))
    x, y = torch.randn(400, 32), torch.randint(10, (400,))
    task = Task(model, (x, y), (x, y), name="long", finetune=FineTune(epochs=0), calibration=256)
    proposals: list[float] = []
    memory: list[int] = []
    clock: list[float] = []

    class Watched(Stub):
        def __call__(self, plan: Plan, seed: int, **keywords: Any) -> Outcome:
            clock.append(time.perf_counter())
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
            return super().__call__(plan, seed, **keywords)

    Asker.suggest = timed(Asker.suggest, proposals)
    import_module("rankfront.search.study.opening").__dict__["Objective"] = Watched
    with tempfile.TemporaryDirectory() as folder:
        result = run(
            task, budget="params=50%", trials=arguments.trials, out=Path(folder) / "out", device="cpu", progress=False
        )
        print(f"{date.today()}, {platform.processor() or platform.machine()}, {arguments.layers} layers\n")
        print("| around trial | a proposal | all else of a trial | memory, at most |\n|---|---|---|---|")
        for mark in (m for m in MARKS if m <= arguments.trials):
            here = slice(max(0, mark - 50), mark)
            whole = np.diff(clock[here])
            asked = float(np.median(proposals[here]))
            rest = float(np.median(whole)) - asked
            print(f"| {mark:,} | {1000 * asked:.0f} ms | {1000 * rest:.0f} ms | {memory[mark - 1]} MiB |")
        began = time.perf_counter()
        page = write_report(result)
        size = page.stat().st_size / 1e6
        database = sum(p.stat().st_size for p in (Path(folder) / "out").glob("study.db*")) / 1e6
        print(f"\nthe page: written in {time.perf_counter() - began:.1f} s, {size:.1f} MB; study.db: {database:.1f} MB")


if __name__ == "__main__":
    main()
