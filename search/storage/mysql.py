"""MySQL, and MariaDB by the same protocol: locks are those of ``GET_LOCK``. An implementation of `server.Server`.

These belong to a session, as PostgreSQL's do, and to a whole server, so the database is part of their names. Nodes of a
cluster (Galera, group replication) do not share them: all workers need the same node.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from typing import Any

from optuna.storages._rdb.models import BaseModel
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url

from .server import LOCK_TIMEOUT_S

SOCKET = {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60}
"""Seconds after which a server that says nothing is taken to be gone."""

ROUNDS_S = (30,) * (LOCK_TIMEOUT_S // 30)
"""A lock is waited for in rounds, each shorter than what `SOCKET` allows."""

IDLE_S = 2_147_483
"""How long a session may do nothing, 25 days: the most that every server takes; its own default is 8 hours."""

BEGIN = f"SET SESSION wait_timeout = {IDLE_S}, sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')"
"""What each session begins with. A value that is too long is refused, not cut."""

UNLIMITED = ("max_statement_time", "max_execution_time")
"""MariaDB's and MySQL's limit of a statement's time, which a session that waits for a lock must not have."""

WIDE = {"text": "LONGTEXT", "datetime": "DATETIME(6)", "varchar(512)": "VARCHAR(512) COLLATE utf8mb4_bin"}
"""Type of a column of Optuna's → its type here.

Attributes may be longer than 64 KiB; times have microseconds; names that differ in case alone are two names.
"""

_TAKE, _GIVE = text("SELECT GET_LOCK(:lock, :seconds)"), text("SELECT RELEASE_LOCK(:lock)")
_KNOWN = text("SHOW VARIABLES LIKE :name")
_COLUMNS = text(
    "SELECT table_name AS place, column_name AS name, column_type AS type, is_nullable AS nullable,"
    " collation_name AS collation FROM information_schema.columns WHERE table_schema = DATABASE()"
)
_STARTED = (
    "SELECT CONCAT(@@hostname, ' ', @@port, ' ', CAST(UNIX_TIMESTAMP() AS SIGNED) - CAST(variable_value AS SIGNED))"
    " FROM {}.global_status WHERE variable_name = 'Uptime'"
)


class MySQL:
    """The server of a MySQL or MariaDB database."""

    password_variable = "MYSQL_PWD"
    engine: dict[str, Any] = {"isolation_level": "READ COMMITTED"}  # noqa: RUF012
    """As PostgreSQL's: what is stored is seen at once, and few rows are locked."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    def connect_with(self) -> dict[str, Any]:
        """Return `SOCKET` and `BEGIN`, and the password in the environment, which PyMySQL does not look for."""
        if self._url.get_dialect().driver not in ("pymysql", "mysqldb"):
            return {}
        own = {**SOCKET, "init_command": BEGIN}
        if self._url.password is None and (password := os.environ.get(self.password_variable)):
            own["password"] = password
        return {name: value for name, value in own.items() if name not in self._url.query}

    def prepare(self, engine: Engine) -> None:
        """Change the types of columns as `WIDE` says, where that was not done yet."""
        own = BaseModel.metadata.tables
        with engine.begin() as connection:
            changes: dict[str, list[str]] = {}
            for column in connection.execute(_COLUMNS).all():
                wide = WIDE.get(column.type.lower()) if column.place in own else None
                if wide is not None and not wide.endswith(f" {column.collation}"):
                    null = "NULL" if column.nullable == "YES" else "NOT NULL"
                    changes.setdefault(column.place, []).append(f"MODIFY `{column.name}` {wide} {null}")
            for table, parts in changes.items():
                connection.execute(text(f"ALTER TABLE `{table}` {', '.join(parts)}"))

    def begin(self, connection: Connection) -> None:
        """Lift the limits of time."""
        for name in UNLIMITED:
            if connection.execute(_KNOWN, {"name": name}).first() is not None:
                connection.execute(text(f"SET SESSION {name} = 0"))

    def take(self, connection: Connection, lock: str, *, wait: bool) -> bool:
        """Take a lock."""
        name = self._name(lock)
        rounds = ROUNDS_S if wait else (0,)
        return any(connection.execute(_TAKE, {"lock": name, "seconds": s}).scalar_one() == 1 for s in rounds)

    def give(self, connection: Connection, lock: str) -> bool:
        """Free a lock."""
        return connection.execute(_GIVE, {"lock": self._name(lock)}).scalar_one() == 1

    def held(self, connection: Connection, locks: Collection[str]) -> set[str]:
        """Return which are held; there is no list of locks that every user may see."""
        if not locks:
            return set()
        asked = ", ".join(f"IS_USED_LOCK('{self._name(lock)}')" for lock in locks)
        holders = connection.exec_driver_sql(f"SELECT {asked}").one()
        return {lock for lock, holder in zip(locks, holders, strict=True) if holder is not None}

    def started(self, connection: Connection) -> str:
        """Return when, to the second, and where: both of its figures are taken in one moment."""
        schema = "information_schema" if getattr(connection.dialect, "is_mariadb", False) else "performance_schema"
        return str(connection.execute(text(_STARTED.format(schema))).scalar_one())

    def _name(self, lock: str) -> str:
        """Return a lock's name on the server, of 64 characters: the most that it takes."""
        return hashlib.sha256(f"rankfront\n{self._url.database}\n{lock}".encode()).hexdigest()
