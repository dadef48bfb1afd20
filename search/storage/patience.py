"""A database that is away for a while (restarted, failed over) is waited for, with pauses that grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError, SQLAlchemyError

from ...objectives.errors import RankfrontError
from .errors import first_line, shown_url

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Pauses double from the first to the longest."""

LIMIT_S = 600.0
"""The sum of the pauses after which a database is given up."""

GONE = frozenset(
    (
        *(
            "57P01",
            "57P02",
            "57P03",
        ),  # PostgreSQL is shut down, has crashed, or starts; class 08: the connection failed
        *(1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 3169),  # MySQL ends, or ended the session
        *(1290, 1836),  # it is a replica yet
        *(2002, 2003, 2006, 2012, 2013, 2014, 2055, 4031),  # its client: there is no connection
    )
)
"""SQLSTATEs of PostgreSQL, error numbers of MySQL."""

AGAIN = frozenset(("40001", "40P01", 1205, 1213, 3058))
"""Those of two transactions that wait for each other: one was undone, and is to be done again."""


class DatabaseAway(RankfrontError):
    """A database was waited for in vain."""


class Patience:
    """Calls what uses one database, and calls it again where the database is away.

    Once it was given up, or the user has stopped the waiting (Ctrl-C), nothing is waited for any more.

    Args:
        url: the database's.
        say: is told when the waiting begins and when it ends.
    """

    def __init__(self, url: str, say: Callable[[str], object] = lambda line: None) -> None:
        self._where = shown_url(url)
        self._say = say
        self._limit_s = LIMIT_S

    def __call__(self, use: Callable[[], T]) -> T:
        """Return what ``use`` returns; it may be called several times, each time after it has failed.

        Raises:
            DatabaseAway: the database does not come back. Whatever else ``use`` raises passes.
        """
        try:
            return self._until_done(use)
        except KeyboardInterrupt:
            self._limit_s = 0.0
            raise

    def _until_done(self, use: Callable[[], T]) -> T:
        waited = False
        for pause_s in self._pauses():
            try:
                found = use()
            except (SQLAlchemyError, StorageInternalError) as error:
                again = _code(error) in AGAIN
                if (reason := first_line(error) if again else why_away(error)) is None:
                    raise
                if pause_s is None:
                    raise DatabaseAway(f"storage {self._where} does not answer: {reason}") from error
                if again:
                    time.sleep(pause_s)
                    continue
                if not waited:
                    self._say(f"storage {self._where} is away, waiting for it: {reason}")
                waited = True
                time.sleep(pause_s)
            else:
                if waited:
                    self._say(f"storage {self._where} is back")
                return found
        raise AssertionError("the last pause is None")

    def _pauses(self) -> Iterator[float | None]:
        """Yield the pause after each failure; None: there is to be no further try."""
        pause_s, total_s = FIRST_PAUSE_S, 0.0
        while total_s < self._limit_s:
            yield pause_s
            total_s += pause_s
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._limit_s = 0.0
        yield None


def why_away(error: BaseException) -> str | None:
    """Return why a database is away; None for an error of a database that answers."""
    cause = _cause(error)
    if isinstance(cause, PendingRollbackError):  # Optuna took the loss of the connection for something else
        return "the connection was lost"
    if not isinstance(cause, DBAPIError):
        return None
    code = _code(error)
    # A connection to PostgreSQL that could not be made has no state.
    unreachable = code is None and isinstance(cause, OperationalError)
    gone = code in GONE or str(code).startswith("08")
    return first_line(cause) if cause.connection_invalidated or unreachable or gone else None


def _cause(error: BaseException) -> BaseException:
    return error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error


def _code(error: BaseException) -> str | int | None:
    """Return an error's SQLSTATE from PostgreSQL, its number from MySQL; None where it has none."""
    said = getattr(_cause(error), "orig", None)
    number = next(iter(getattr(said, "args", ())), None)
    return number if isinstance(number, int) else getattr(said, "sqlstate", None)
