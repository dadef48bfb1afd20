"""What a database raises, as a `RankfrontError` of one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ...objectives.errors import RankfrontError

PASSWORDS = ("password", "passwd")
"""Options of a URL that are a password."""


class LockLost(RankfrontError):
    """The connection that held a lock has been lost: other workers may have held the lock meanwhile."""

    def __init__(self) -> None:
        super().__init__("the connection to the database was lost while it held a lock of the study")


@contextlib.contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn whatever the database raises into a `RankfrontError`."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise RankfrontError(_sentence(url, error)) from error


def read_url(url: str) -> URL:
    """Return the parts of a database URL.

    Raises:
        RankfrontError: it cannot be read, or its password may have been cut at an ``@``.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise RankfrontError(
            f"storage must be a database URL such as sqlite:///study.db, but got {shown_url(url)!r}"
        ) from None
    if "@" in (parsed.host or ""):
        raise RankfrontError(f"storage must write an @ of its password as %40, but {shown_url(url)} has two @")
    return parsed


def shown_url(url: str) -> str:
    """Return the URL without its password and its options, of which one may be a password; for SQLite the file's path.

    >>> shown_url("postgresql://me:secret@host/db?sslpassword=secret"), shown_url("sqlite:///study.db")
    ('postgresql://me:***@host/db', 'study.db')
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or "@" in (parsed.host or ""):
        # Where the password is, is not known.
        begin = re.match(r"[\w+]*", url)
        return f"{begin[0] if begin else ''}…" if re.search("[@=]|//", url) else url[:80]
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        return parsed.database
    return parsed.set(query={}).render_as_string(hide_password=True)


def without_password(url: str) -> tuple[str, str | None]:
    """Return the URL without its password, and the password; None where there is none.

    >>> without_password("postgresql://me:secret@host/db?connect_timeout=9")
    ('postgresql://me@host/db?connect_timeout=9', 'secret')
    """
    parsed = read_url(url)
    if "sslpassword" in parsed.query:
        raise RankfrontError("storage must hold no sslpassword with a batch system: use a key that has none")
    in_query = next((parsed.query[name] for name in PASSWORDS if name in parsed.query), None)
    password = parsed.password if in_query is None else str(in_query)
    bare = parsed.difference_update_query(PASSWORDS)._replace(password=None)
    return bare.render_as_string(hide_password=False), password


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says: SQLAlchemy's further lines are the statement and its values."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _sentence(url: str, error: BaseException) -> str:
    reason = first_line(error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error)
    where = shown_url(url)
    if isinstance(error, (ArgumentError, NoSuchModuleError)):
        return f"storage must be a database URL such as sqlite:///study.db, but got {where!r}"
    if "not a database" in reason or "malformed" in reason:
        return f"{where} is damaged and cannot be read ({reason}); move it away, or take another folder"
    if "readonly" in reason or "unable to open" in reason:
        return f"{where} cannot be written: read-only, or its folder is ({reason})"
    if "disk is full" in reason or "No space left" in reason:
        return f"{where} cannot be written: the disk is full"
    return f"storage {where} failed: {reason}"
