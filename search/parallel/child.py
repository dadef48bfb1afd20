"""A worker's process as its supervisor sees it.

It is a new interpreter, never a fork: PyTorch's threads and CUDA do not survive one. What it is to do comes through its
standard input, which then stays open: it ends when its supervisor has gone, whatever ended that. What it says comes
through its standard output: see `channel`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import IO

from .events import Event
from .handle import Events

LINGER_S = 5.0
"""How long the pipe of a process that has ended is read on, where a process that it left behind holds it open."""

LONGEST = 500
"""Characters of a line that a worker's own code printed."""


class Child:
    """A process that runs ``code`` with the module search path of this one.

    Args:
        number: the worker's, from 1.
        code: Python statements.
        job: bytes for its standard input, after their length as eight bytes.
        environment: what differs from this process's.
        events: takes what it says; how it ended comes last.
    """

    def __init__(self, number: int, code: str, job: bytes, environment: Mapping[str, str], events: Events) -> None:
        self.number = number
        self._events = events
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor alone, which stops the others
        )
        self._threads = [
            threading.Thread(target=target, args=arguments, daemon=True)
            for target, arguments in (
                (self._give, (self._process.stdin, job)),
                (self._read_events, (self._process.stdout,)),
                (self._read_lines, (self._process.stderr,)),
            )
        ]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def stop(self) -> None:
        """Ask it to end: it frees its trial first."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _give(self, pipe: IO[bytes], job: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died; its exit code comes anyway
            pipe.write(len(job).to_bytes(8, "big") + job)
            pipe.flush()

    def _read_events(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            with contextlib.suppress(ValueError):  # a line that was cut off when its writer was stopped
                self._events.put((self, json.loads(line)))

    def _read_lines(self, pipe: IO[bytes]) -> None:
        """Pass on what the user's own code prints."""
        for line in pipe:
            text = line.decode(errors="replace").rstrip("\n").rpartition("\r")[2]
            if text.strip():
                self._events.put((self, [Event.SAY, f"worker {self.number}: {text[:LONGEST]}"]))

    def _wait(self) -> None:
        code = self._process.wait()
        for thread in self._threads:
            thread.join(LINGER_S)
        self._events.put((self, [Event.EXIT, ended_by(code)]))


def ended_by(code: int) -> str:
    """Return what an exit code says of how a process died; nothing where it ended well.

    >>> ended_by(-9), ended_by(3), ended_by(0)
    ('SIGKILL', 'exit code 3', '')
    """
    if code == 0:
        return ""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
