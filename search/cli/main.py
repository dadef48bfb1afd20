"""The command line's outside: signals, exit codes, and every error as one line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

import typer

from ...objectives.boundary import told
from ...objectives.errors import RankfrontError

STOPPED = "stopped; the same command goes on from here"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error is one line on stderr and exit code 2.

    Exit codes: 0 done; 1 ``verify`` found a mismatch; 2 something given cannot be; 130 or 143 stopped by SIGINT or
    SIGTERM.
    """
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with _stopped_by_sigterm() as number:
        try:
            from .app import app

            code = app(arguments, prog_name="rankfront", standalone_mode=False)
            if code == 130:  # what Typer makes of a KeyboardInterrupt
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            _fail(STOPPED, 128 + number())
        except typer.Abort:
            _fail(STOPPED, 130)
        except typer.TyperException as error:
            _fail(f"error: {error.format_message()}", 2)
        except RankfrontError as error:
            _explain(error, arguments)
            _fail(f"error: {' '.join(str(error).split())}", 2)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception as error:
            _explain(error, arguments)
            _fail(f"error: {told(error)}", 2)
    sys.exit(code or 0)


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[Callable[[], int]]:
    """Let SIGTERM end the command as Ctrl-C does; yields which of the two signals came last.

    The handler that was there before is restored afterwards.
    """
    came = signal.SIGINT

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal came
        came = signal.Signals(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGTERM, before)


def _explain(error: BaseException, arguments: list[str]) -> None:
    if "--debug" in arguments:
        sys.excepthook(type(error), error, error.__traceback__)


def _fail(message: str, code: int) -> NoReturn:
    print(f"rankfront: {message}", file=sys.stderr)
    sys.exit(code)
