"""A study with many workers: ``PYTHONPATH=. uv run python benchmarks/scaling.py PART …``.

- ``run NAME …``: measures, a file each in ``--runs``; ``table`` writes ``docs/benchmarks/scaling.md`` from these files,
  whatever of them there is. Database servers are the machine's own programs, started in temporary folders.
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
import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import optuna
import platformdirs
from long_study import Stub, asked, fill, stub_study
from races import TRIALS, Race, carry_out, ground_named, race
from where_and_when import where_and_when

from rankfront import run as run_study
from rankfront.objectives.io.files import read_json, write_json, write_text
from rankfront.objectives.phases import PROPOSING, STORING, Phases
from rankfront.objectives.plan import Plan
from rankfront.search.report.progress import Progress
from rankfront.search.samplers.asker import Asker
from rankfront.search.storage.database import open_storage, warnings_only
from rankfront.search.storage.locks import locks_of
from rankfront.search.storage.trials import PHASES
from rankfront.search.study.loop import TrialLoop
from rankfront.search.study.study_file import load_task
from rankfront.search.study.workers import Worker
from tests.mysql import MySQLServer
from tests.postgres import Server, binaries

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "scaling.md"

LAYERS = 60
"""Of the made-up network."""


@contextlib.contextmanager
def database(kind: str) -> Iterator[str | None]:
    """Yield the URL of an empty database on a server of its own; None for SQLite, which lies in the study's folder."""
    if kind == "SQLite":
        yield None
        return
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    server = Server(programs, connections=1000) if kind == "PostgreSQL" else MySQLServer()
    try:
        yield server.new_database("scaling")
    finally:
        server.remove()


def storage(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what a trial's time is spent on, by database."""
    rows = []
    for kind in ("SQLite", "PostgreSQL", "MySQL"):
        with database(kind) as url, stub_study(LAYERS, given.trials, url) as loop:
            clock: list[float] = []
            began = time.perf_counter()
            with noted(loop, clock):
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
                    "all": time.perf_counter() - began,
                }
            )
    return rows


@contextlib.contextmanager
def noted(loop: TrialLoop, clock: list[float]) -> Iterator[None]:
    """Note when each trial begins."""
    own = Stub.__call__

    def call(self: Stub, plan: Plan, seed: int, **keywords: Any) -> Any:
        clock.append(time.perf_counter())
        return own(self, plan, seed, **keywords)

    Stub.__call__ = call
    try:
        yield
    finally:
        Stub.__call__ = own


def simulated(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what workers lose, by how many there are."""
    return [sleeping(count, given.each * count, given.seconds) for count in given.workers]


def sleeping(count: int, trials: int, mean_s: float) -> dict[str, Any]:
    """Return how a study of so many workers goes whose trials sleep for a log-normal time (± 20 %)."""
    slept: dict[int, float] = {}
    spent: dict[int, float] = {}
    errors: list[BaseException] = []
    own = Stub.__call__

    def call(self: Stub, plan: Plan, seed: int, **keywords: Any) -> Any:
        seconds = mean_s * float(np.random.default_rng(seed).lognormal(-0.02, 0.2))
        slept[threading.get_ident()] = slept.get(threading.get_ident(), 0.0) + seconds
        time.sleep(seconds)
        return own(self, plan, seed, **keywords)

    Stub.__call__ = call
    try:
        with database("PostgreSQL") as url, stub_study(LAYERS, trials, url) as first:
            ready = threading.Barrier(count)

            def work() -> None:
                try:
                    loop = another(first, url or "")
                    with loop.worker.alive():
                        ready.wait()
                        began = time.monotonic()
                        loop.run()
                        spent[threading.get_ident()] = time.monotonic() - began
                except BaseException as error:
                    errors.append(error)
                    ready.abort()

            threads = [threading.Thread(target=work) for _ in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if errors:
                raise errors[0]
            phases = [t.user_attrs[PHASES] for t in first.study.get_trials() if PHASES in t.user_attrs]
    finally:
        Stub.__call__ = own
    return {
        "workers": count,
        "trials": len(phases),
        "turn": fmean(each.get(PROPOSING, 0.0) for each in phases),
        "storing": fmean(each.get(STORING, 0.0) for each in phases),
        # Of the whole, not of each worker: at the end some wait for nothing while others finish.
        "lost": (sum(spent.values()) - sum(slept.values())) / len(phases) / mean_s,
        "seconds": mean_s,
    }


def another(first: TrialLoop, url: str) -> TrialLoop:
    """Return the loop of another worker: with its own connections, and what the first one has prepared."""
    folder, name = first.settings.folder, first.study.study_name
    study = optuna.load_study(study_name=name, storage=open_storage(url))
    score = first.objective.score_before_finetuning  # takes no time, so the study lock is not released for it
    problem = replace(first.asker.problem, factorized_score=score, score_before_finetuning=score)
    asker = Asker(study, problem, first.settings.sampler)
    return replace(first, study=study, worker=Worker(folder, locks_of(folder, url, name)), phases=Phases(), asker=asker)


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


def ms(seconds: float) -> str:
    """Return seconds as milliseconds to read."""
    return f"{1000 * seconds:,.0f} ms"


def rows_of(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table."""
    return ["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)]


TABLES: dict[str, Callable[[list[dict[str, Any]]], list[str]]] = {
    "storage": lambda rows: rows_of(
        ["database", "the turn to propose", "storing the result", "all of a trial"],
        [[r["database"], ms(r["turn"]), ms(r["storing"]), ms(r["whole"])] for r in rows],
    ),
    "simulated": lambda rows: rows_of(
        ["workers", "trials", "the turn, waiting included", "storing", "a worker's time that is lost"],
        [[r["workers"], r["trials"], ms(r["turn"]), ms(r["storing"]), f"{r['lost']:.1%}"] for r in rows],
    ),
    "quality": lambda rows: rows_of(
        ["workers", "hypervolume", "of one worker's", "of the true front's", "after half of the trials"],
        [
            [
                r["workers"],
                f"{fmean(r['volumes']):.4f} ± {np.std(r['volumes']):.4f}",
                f"{fmean(r['volumes']) / fmean(rows[0]['volumes']):.2%}",
                f"{fmean(r['volumes']) / r['truth']:.2%}",
                f"{fmean(r['half']) / fmean(rows[0]['half']):.2%} of one worker's",
            ]
            for r in rows
        ],
    ),
    "proposals": lambda rows: rows_of(
        ["after trials", "a proposal", "all else of a trial", "memory"],
        [[f"{r['trials']:,}", ms(r["proposal"]), ms(r["rest"]), f"{r['memory']:.0f} MiB"] for r in rows],
    ),
    "efficiency": lambda rows: rows_of(
        ["database", "workers", "trials an hour", "efficiency"],
        [
            [r["database"], r["workers"], f"{r['rate']:,.0f}", f"{r['rate'] / (r['workers'] * alone['rate']):.0%}"]
            for r in rows
            for alone in rows
            if alone["workers"] == 1 and alone["database"] == r["database"]
        ],
    ),
}
"""Part → its table."""


def table(runs: Path) -> None:
    """Write the page of all parts that there are."""
    lines = ["# Many workers", "", "Written by `benchmarks/scaling.py table`; do not edit.", ""]
    for part, heading in HEADINGS.items():
        path = runs / f"scaling {part}.json"
        lines += [f"## {heading[0]}", "", heading[1], ""]
        if not path.exists():
            lines += ["Not run yet.", ""]
            continue
        found = read_json(path)
        known = found["known"]
        lines += [*TABLES[part](found["rows"]), ""]
        lines += [f"{known['date']}, commit {known['commit']}, {known['machine']}, torch {known['torch']}.", ""]
    write_text(PAGE, "\n".join(lines))


HEADINGS = {
    "efficiency": (
        "Trials of `digits`",
        "Single-threaded trials, two cores; *efficiency* is the rate against as many times that of one worker.",
    ),
    "storage": (
        "Beside the network's time",
        f"One worker, a made-up network of {LAYERS} layers whose trials take no time. *The turn* is what only one "
        "worker does at a time: a slot is claimed, a plan proposed and stored.",
    ),
    "simulated": (
        "Up to 256 workers",
        "Trials that sleep for a minute on average, on PostgreSQL; all workers are threads of one process, whose "
        "Python code shares one core, so what is lost is an upper bound.",
    ),
    "quality": (
        "Does it cost quality?",
        "Proposals do not know the scores of trials that are under way. The model is `truth` of [the comparison of "
        "samplers](samplers.md), the sampler the default one; trials are equally many.",
    ),
    "proposals": (
        "Long studies",
        f"{LAYERS} layers, SQLite, CPU time of one thread; but for the first 100 and the last 50 trials, plans were "
        "crossed, not proposed. The goal is 50 ms a proposal, 100 ms for all else.",
    ),
}
"""Part → its heading on the page, and what is to be said of it."""


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
