"""A MariaDB server of the tests' own, which speaks MySQL's protocol, on a socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy.engine import make_url

from tests.postgres import PASSWORD

PROGRAMS = ("mariadb-install-db", "mariadbd")


class MySQLServer:
    """A server that can be stopped and started; see `tests.postgres.Server`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rankfront-my-"))
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:  # as whom it refuses to run
            self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody", "nogroup")
        self._server: subprocess.Popen[bytes] | None = None
        options = ("--skip-test-db", "--auth-root-authentication-method=normal")
        subprocess.run(
            [*self._command("mariadb-install-db"), *options], check=True, stdout=subprocess.DEVNULL, **self._as
        )
        self.start()
        self.sql(f"CREATE USER rank@localhost IDENTIFIED BY '{PASSWORD}'")

    @staticmethod
    def is_installed() -> bool:
        """Return whether this machine has its programs."""
        return all(map(_program, PROGRAMS))

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"mysql+pymysql://rank:{PASSWORD}@/{database}?unix_socket={self._socket}&ssl_disabled=true"

    def new_database(self, name: str) -> str:
        """Create an empty database; return its URL."""
        self.sql(f"CREATE DATABASE `{name}`")
        self.sql(f"GRANT ALL ON `{name}`.* TO rank@localhost")
        return self.url(name)

    def sql(self, statement: str) -> tuple[tuple[Any, ...], ...]:
        """Return the rows of a statement."""
        with pymysql.connect(unix_socket=self._socket, user="root", autocommit=True, ssl_disabled=True) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall()

    def end_sessions(self, url: str) -> None:
        """End all sessions of a database, as an administrator can."""
        name = make_url(url).database
        of_database = f"FROM information_schema.processlist WHERE db = '{name}'"
        for (number,) in self.sql(f"SELECT id {of_database}"):
            self.sql(f"KILL {number}")
        while self.sql(f"SELECT id {of_database}"):
            pass

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        options = ("--skip-networking", f"--socket={self._socket}", "--max-connections=300")
        small = ("--innodb-flush-method=nosync", "--innodb-buffer-pool-size=32M")
        with (self.folder / "log").open("ab") as log:
            self._server = server = subprocess.Popen(
                [*self._command("mariadbd"), *options, *small], stdout=log, stderr=log, **self._as
            )
        while True:
            try:
                self.sql("SELECT 1")
            except pymysql.OperationalError:
                os.sched_yield()
                assert server.poll() is None, (self.folder / "log").read_text()[-2000:]
            else:
                return

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends all sessions, ``immediate`` is a crash."""
        assert self._server is not None
        self._server.send_signal(signal.SIGKILL if mode == "immediate" else signal.SIGTERM)
        self._server.wait()

    def remove(self) -> None:
        """Stop it for good."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    @property
    def _socket(self) -> str:
        return str(self.folder / "socket")

    def _command(self, program: str) -> list[str]:
        """Return a program with what it needs to find its data, and nothing of this machine's settings."""
        return [str(_program(program)), "--no-defaults", f"--datadir={self.folder / 'data'}"]


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
