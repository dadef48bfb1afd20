"""A PostgreSQL server of the tests' own, on a socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

PASSWORD = "pa55-of-the-tests"
"""In all URLs; the server lets everybody in who can open its socket."""


def binaries() -> Path | None:
    """Return the folder with the server's programs, the newest version's; None where there are none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return versions[-1].parent if versions else None


class Server:
    """A server that can be stopped and started."""

    def __init__(self, programs: Path, connections: int = 300) -> None:
        self._programs, self._connections = programs, connections
        self.folder = Path(tempfile.mkdtemp(prefix="rankfront-pg-"))
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:  # as whom it refuses to run
            self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody", "nogroup")
        self._call("initdb", "-U", "rank", "--auth=trust", "--no-sync", "-E", "UTF8")
        self.start()

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql+psycopg://rank:{PASSWORD}@/{database}?host={self.folder}"

    def new_database(self, name: str) -> str:
        """Create an empty database; return its URL."""
        self.sql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        with psycopg.connect(host=str(self.folder), user="rank", dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def end_sessions(self, url: str) -> None:
        """End all sessions of a database, as an administrator can."""
        name = make_url(url).database
        self.sql(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'")

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c max_connections={self._connections}"
        self._call("pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends all sessions, ``immediate`` is a crash."""
        self._call("pg_ctl", "-w", "-m", mode, "stop")

    def remove(self) -> None:
        """Stop it for good."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", self.folder / "data", *arguments],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            **self._as,
        )
