"""What PostgreSQL alone has."""

from __future__ import annotations

from rankfront.search.storage.patience import Patience
from rankfront.search.storage.postgres import KEEPALIVES, Postgres
from rankfront.search.storage.session import Session


def test_the_server_is_told_to_look_after_the_connection(database: str) -> None:
    session = Session(database, Postgres(database), Patience(database))
    with session.hold("mine"):
        assert session._connection is not None
        rows = session._connection.exec_driver_sql("SELECT name FROM pg_settings WHERE source = 'session'").scalars()
        assert {"lock_timeout", "idle_session_timeout", "tcp_keepalives_idle"} <= set(rows)


def test_options_of_the_url_come_before_ours() -> None:
    assert Postgres("postgresql+psycopg://host/db").connect_with() == KEEPALIVES
    assert "keepalives_idle" not in Postgres("postgresql+psycopg://host/db?keepalives_idle=5").connect_with()
