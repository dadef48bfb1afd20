"""What a database raises, as a `RankfrontError` of one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ...objectives.errors import RankfrontError


@contextlib.contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn whatever the database raises into a `RankfrontError`."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise RankfrontError(_sentence(url, error)) from error


def shown_url(url: str) -> str:
    """Return the URL without its password; for SQLite the file's path.

    >>> shown_url("postgresql://me:secret@host/db"), shown_url("sqlite:///study.db")
    ('postgresql://me:***@host/db', 'study.db')
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        return url[:80]
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        return parsed.database
    return parsed.render_as_string(hide_password=True)


def _sentence(url: str, error: BaseException) -> str:
    text = str(error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error)
    reason = text.splitlines()[0] if text else type(error).__name__
    where = shown_url(url)
    if isinstance(error, (ArgumentError, NoSuchModuleError)):
        return f"storage must be a database URL such as sqlite:///study.db, but got {where!r}"
    if "not a database" in reason or "malformed" in reason:
        return f"{where} is damaged and cannot be read ({reason}); move it away, or take another folder"
    if "readonly" in reason or "unable to open" in reason:
        return f"{where} cannot be written: read-only, or its folder is ({reason})"
    if "full" in reason:
        return f"{where} cannot be written: the disk is full"
    return f"storage {where} failed: {reason}"
