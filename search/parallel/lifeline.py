"""A worker's end of the pipes that join it to its supervisor: see `child`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import IO


def own_streams() -> tuple[IO[bytes], Callable[[bytes], object]]:
    """Return the standard input, and what writes to the standard output; whatever else prints goes to stderr."""
    given = os.fdopen(os.dup(0), "rb")
    said = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return given, said.write


def read_job(given: IO[bytes]) -> bytes:
    """Return what the worker is to do."""
    return given.read(int.from_bytes(given.read(8), "big"))


def end_with_supervisor(given: IO[bytes]) -> None:
    """From now on, end this process at once when its supervisor has gone, whatever it does at that moment.

    Its trial is freed as that of any worker that dies.
    """

    def wait() -> None:
        given.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
