"""A study with many workers: ``PYTHONPATH=. uv run python benchmarks/scaling.py PART …``.

- ``run NAME …``: measures, a file each in ``--runs``; ``table`` writes ``docs/benchmarks/scaling.md`` from these files;
  a part that is not there stays as it stands. Database servers are the machine's own programs, started in temporary
  folders.
- ``run storage``: where a trial's time goes beside its network's, on SQLite, PostgreSQL and MySQL, with one worker.
- ``run simulated``: up to 256 workers, each a thread with connections of its own, on PostgreSQL; all is real (locks,
  proposals, storage) but the trial, which sleeps. Threads of one process share one core for Python code, which
  processes on many machines do not: what is lost is an upper bound.
- ``run quality --data DIR``: the hypervolume that 8 asynchronous workers reach against that of one, at equal trials,
  on the model ``truth`` of ``benchmarks/search.py``, each of whose plans is fine-tuned first (its table is looked for
  in ``--runs``).
- ``run proposals``: CPU time and memory of a study of 60 layers around its 5,000th trial; trials in between are not
  proposed.
- ``run efficiency``: trials an hour of ``digits`` with 1, 2 and 4 workers on SQLite and PostgreSQL. The machine must do
  nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import platformdirs
from long_study import asked, fill, stub_study
from races import TRIALS, Race, carry_out, ground_named, race
from scaling_page import TABLES, table
from simulated_workers import LAYERS, calling, database, sleeping
from where_and_when import where_and_when

from rankfront import run as run_study
from rankfront.objectives.io.files import write_json
from rankfront.objectives.phases import PROPOSING, STORING
from rankfront.search.report.progress import Progress
from rankfront.search.storage.database import warnings_only
from rankfront.search.storage.trials import PHASES
from rankfront.search.study.study_file import load_task


def storage(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what a trial's time is spent on, by database."""
    rows = []
    for kind in ("SQLite", "PostgreSQL", "MySQL"):
        with database(kind) as url, stub_study(LAYERS, given.trials, url) as loop:
            clock: list[float] = []
            with calling(lambda seed, clock=clock: clock.append(time.perf_counter())):
                loop.run()
            phases = [t.user_attrs[PHASES] for t in loop.study.get_trials(deepcopy=False) if PHASES in t.user_attrs]
            phases = phases[len(phases) // 2 :]
            proposing, storing = (median(each.get(name, 0.0) for each in phases) for name in (PROPOSING, STORING))
            rows.append(
                {
                    "database": kind,
                    "turn": proposing,
                    "storing": storing,
                    "whole": float(np.median(np.diff(clock)[len(clock) // 2 :])),
                }
            )
    return rows


def simulated(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what workers lose, by how many there are."""
    rows = []
    for count in given.workers:
        rows.append(sleeping(count, given.each * count, given.seconds))
        print(rows[-1], flush=True)
    return rows


def quality(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the hypervolume that one and several asynchronous workers reach."""
    rows = []
    with Progress() as progress:
        ground, truth = ground_named("truth", given, progress)
        for workers in (1, 8):
            found = []
            for seed in range(given.seeds):
                trials = list(race(ground, "directions", seed, TRIALS["truth"], workers))
                found.append(Race("truth", "directions", seed, trials, ground.dense).volumes)
                progress(f"{workers} workers", seed + 1, given.seeds)
            last = [volumes[-1] for volumes in found]
            half = [volumes[len(volumes) // 2] for volumes in found]
            rows.append({"workers": workers, "volumes": last, "half": half, "truth": truth, "trials": TRIALS["truth"]})
    ground.memory.save()
    return rows


def proposals(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return CPU seconds and memory around the 100th and the last trial."""
    with stub_study(LAYERS, 100) as loop:
        rows = [{"trials": 100, **asked(loop, 100)}]
        fill(loop, given.long)
        return [*rows, {"trials": given.long, **asked(loop, given.long + 50)}]


def efficiency(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rate of real trials, by database and workers."""
    rows = []
    for kind in ("SQLite", "PostgreSQL"):
        for workers in (1, 2, 4):
            with database(kind) as url, tempfile.TemporaryDirectory() as folder:
                result = run_study(
                    load_task("digits"),
                    out=Path(folder) / "out",
                    storage=url,
                    trials=given.trials,
                    workers=workers,
                    device="cpu",
                    progress=False,
                )
                ended = [t for t in result.study.get_trials() if PHASES in t.user_attrs]
                begin = min(t.datetime_start for t in ended if t.datetime_start)
                end = max(t.datetime_complete for t in ended if t.datetime_complete)
                rate = 3600 * len(ended) / (end - begin).total_seconds()
                rows.append({"database": kind, "workers": workers, "rate": rate, "trials": len(ended)})
    return rows


PARTS: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    each.__name__: each for each in (storage, simulated, quality, proposals, efficiency)
}


def run(given: argparse.Namespace) -> None:
    """Measure the parts that are asked for."""
    logging.disable()
    given.runs.mkdir(parents=True, exist_ok=True)
    for part in given.names:
        with warnings_only():
            rows = PARTS[part](given)
        write_json(given.runs / f"scaling {part}.json", {"rows": rows, "known": where_and_when()})
        print("\n".join(TABLES[part](rows)), flush=True)


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=["run", "table"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--runs", type=Path, default=platformdirs.user_cache_path("rankfront") / "benchmark-scaling")
    parser.add_argument("--trials", type=int, default=40, help="of storage and efficiency")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 16, 64, 128, 256], help="that are simulated")
    parser.add_argument("--each", type=int, default=3, help="simulated trials for each worker")
    parser.add_argument("--seconds", type=float, default=60.0, help="that a simulated trial takes")
    parser.add_argument("--seeds", type=int, default=5, help="of quality")
    parser.add_argument("--long", type=int, default=5000, help="trials of the long study")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds MNIST, for quality")
    carry_out(parser, run, table)


if __name__ == "__main__":
    main()
