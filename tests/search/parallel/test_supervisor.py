"""Workers that end, die and are stopped, as their supervisor sees them; real processes that do nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rankfront import RankfrontError
from rankfront.search.parallel.child import Child
from rankfront.search.parallel.handle import Events
from rankfront.search.parallel.supervisor import Supervisor
from rankfront.search.report.progress import TRIALS, Progress

CODE = """
import json, os, signal, sys, threading
from pathlib import Path
from rankfront.search.parallel.lifeline import end_with_supervisor, own_streams, read_job
given, write = own_streams()
def tell(*event): write(json.dumps(event).encode() + b"\\n")
job = read_job(given)
end_with_supervisor(given)
exec(job)
"""
CODE = f"exec({CODE!r})"

DIE = "os.kill(os.getpid(), signal.SIGKILL)"
WAIT = "threading.Event().wait()"


class Shown(Progress):
    """Notes what is shown; presses Ctrl-C at some lines."""

    def __init__(self, *stops: str) -> None:
        super().__init__(shown=False)
        self.lines: list[str] = []
        self.bars: dict[str, tuple[int, int]] = {}
        self.finished: list[str] = []
        self._stops = list(stops)

    def say(self, line: str = "") -> None:
        self.lines.append(line)
        if line in self._stops:
            self._stops.remove(line)
            raise KeyboardInterrupt

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bars[what] = (done, total)

    def finish(self, what: str) -> None:
        self.finished.append(what)
        self.bars.pop(what, None)


class Started:
    """Starts workers whose jobs are Python statements: the n-th that is started gets the n-th."""

    def __init__(self, *jobs: str) -> None:
        self._jobs = iter(jobs)
        self.children: list[Child] = []

    def __call__(self, number: int, events: Events) -> Child:
        self.children.append(Child(number, CODE, next(self._jobs).encode(), {"RANKFRONT_TEST": "set"}, events))
        return self.children[-1]

    def all_ended(self) -> bool:
        return all(child._process.poll() is not None for child in self.children)


def test_all_workers_are_shown_as_one() -> None:
    shown = Shown()
    first = f"tell('ready'); tell('work', {TRIALS!r}, 2, 4); tell('say', 'a'); tell('once', 'topic', 'b')"
    second = "tell('ready'); tell('once', 'topic', 'b'); print(os.environ['RANKFRONT_TEST'])"
    second += f"; tell('work', {TRIALS!r}, 1, 4)"
    started = Started(first, second)
    Supervisor(started, 2, shown).run()
    assert sorted(shown.lines) == ["a", "b", "worker 2: set"]
    assert shown.bars == {TRIALS: (2, 4)} and started.all_ended()


def test_a_worker_that_died_is_followed_by_another_and_its_bar_goes() -> None:
    shown = Shown()
    dies = f"tell('ready'); tell('work', '[1/4] trial 0', 1, 9); {DIE}"
    started = Started(dies, "tell('ready')", "tell('say', 'in its place'); tell('ready')")
    Supervisor(started, 2, shown).run()
    assert [child.number for child in started.children] == [1, 2, 1]
    assert "worker 1 died by SIGKILL: another one takes its place" in shown.lines and "in its place" in shown.lines
    assert shown.bars == {} and shown.finished == ["[1/4] trial 0"]


def test_a_worker_that_dies_before_it_is_ready_is_not_started_again() -> None:
    shown = Shown()
    started = Started("sys.exit(3)", "tell('ready')")
    Supervisor(started, 2, shown).run()
    assert len(started.children) == 2
    assert "worker 1 died by exit code 3 before its first trial: the others go on" in shown.lines
    with pytest.raises(RankfrontError, match="all 2 died before, the last by SIGKILL: is there memory for so many"):
        Supervisor(Started(DIE, DIE), 2, Shown()).run()


def test_an_error_of_one_stops_all() -> None:
    started = Started("tell('ready'); tell('error', 'the disk is full'); sys.exit(2)", f"tell('ready'); {WAIT}")
    with pytest.raises(RankfrontError, match=r"^the disk is full$"):
        Supervisor(started, 2, Shown()).run()
    assert started.all_ended()


FREES = """
def stop(*_):
    Path({path!r}).write_text("freed")
    tell("say", "freed")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
tell("ready")
tell("say", "at work")
threading.Event().wait()
"""


def test_ctrl_c_lets_each_worker_free_its_trial(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    started = Started(*(FREES.format(path=str(path)) for path in paths))
    shown = Shown("both")

    class Both(Shown):
        def say(self, line: str = "") -> None:
            super().say(line)
            if self.lines.count("at work") == 2 and line == "at work":
                raise KeyboardInterrupt

    shown = Both()
    with pytest.raises(KeyboardInterrupt):
        Supervisor(started, 2, shown).run()
    assert [path.read_text() for path in paths] == ["freed"] * 2 and started.all_ended()
    assert shown.lines.count("freed") == 2, "what they say while they stop is shown"


def test_a_second_ctrl_c_kills_what_does_not_stop() -> None:
    deaf = f"signal.signal(signal.SIGTERM, lambda *_: tell('say', 'no')); tell('ready'); tell('say', 'at work'); {WAIT}"
    started = Started(deaf)
    with pytest.raises(KeyboardInterrupt):
        Supervisor(started, 1, Shown("at work", "no")).run()
    assert started.children[0]._process.poll() == -signal.SIGKILL


SUPERVISES = """
import sys
from queue import SimpleQueue
from rankfront.search.parallel.child import Child
Child(1, {code!r}, {job!r}, {{}}, SimpleQueue())
sys.stdin.read()
"""


def test_no_worker_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    fifo = tmp_path / "held"
    os.mkfifo(fifo)
    job = f"held = open({str(fifo)!r}, 'w'); held.write('alive'); held.flush(); {WAIT}".encode()
    script = SUPERVISES.format(code=CODE, job=job)
    path = os.pathsep.join(filter(None, sys.path))
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    with fifo.open() as held:
        assert held.read(5) == "alive"
        supervisor.kill()
        supervisor.wait()
        assert held.read() == "", "the system closes it when the worker has ended"
