"""What MySQL alone has: lengths, letters, idle sessions, one name for all databases."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.study import Study
from sqlalchemy import text
from sqlalchemy.exc import DataError, OperationalError

from rankfront import RankfrontError
from rankfront.search.storage.database import check_url, open_storage
from rankfront.search.storage.mysql import IDLE_S, MySQL
from rankfront.search.storage.patience import Patience
from rankfront.search.storage.session import Session
from tests.conftest import database_for
from tests.mysql import MySQLServer


@pytest.fixture
def database(mysql: MySQLServer, request: pytest.FixtureRequest) -> str:
    return database_for(request, mysql)


@pytest.fixture
def study(database: str) -> Study:
    return optuna.create_study(study_name="blobs", storage=open_storage(database))


def session_of(url: str) -> Session:
    return Session(url, MySQL(url), Patience(url))


def test_attributes_may_be_long(study: Study, database: str) -> None:
    """Optuna's own columns end at 64 KiB."""
    long = {f"layer {i}": "’" * 100 for i in range(1000)}
    trial = study.ask()
    study.set_user_attr("why", long)
    trial.set_user_attr("plan", long)
    again = optuna.load_study(study_name="blobs", storage=open_storage(database))
    assert again.user_attrs["why"] == again.trials[0].user_attrs["plan"] == long


def test_names_that_differ_in_case_alone_are_two(study: Study, database: str) -> None:
    optuna.create_study(study_name="Blobs", storage=open_storage(database))
    trial = study.ask({"fc.a": IntDistribution(0, 4), "fc.A": IntDistribution(0, 4)})
    trial.set_user_attr("fc.a", 1)
    trial.set_user_attr("fc.A", 2)
    (stored,) = optuna.load_study(study_name="blobs", storage=open_storage(database)).trials
    assert set(stored.params) == {"fc.a", "fc.A"} and stored.user_attrs == {"fc.a": 1, "fc.A": 2}
    assert set(optuna.get_all_study_names(open_storage(database))) == {"blobs", "Blobs"}


def test_a_value_that_is_too_long_is_refused_and_not_cut(study: Study) -> None:
    backend: Any = study._storage
    with pytest.raises(DataError), backend._backend.engine.begin() as connection:
        connection.execute(text("UPDATE studies SET study_name = :name"), {"name": "x" * 513})


def test_databases_of_one_server_have_their_own_locks(
    database: str, mysql: MySQLServer, request: pytest.FixtureRequest
) -> None:
    other = mysql.new_database(f"{request.node.name[:30]}_other")
    with session_of(database).hold("mine"), session_of(other).hold("mine", wait=False) as had:
        assert had and session_of(other).held(["mine", "yours"]) == {"mine"}


def test_a_session_may_be_idle_for_long(study: Study, database: str) -> None:
    session, backend = session_of(database), study._storage
    with session.hold("mine"), backend._backend.engine.connect() as stored:  # pyright: ignore[reportAttributeAccessIssue]
        for connection in (session._connection, stored):
            assert connection is not None
            assert connection.exec_driver_sql("SELECT @@wait_timeout").scalar_one() == IDLE_S
            assert "STRICT_TRANS_TABLES" in connection.exec_driver_sql("SELECT @@sql_mode").scalar_one()


def test_options_and_the_password_of_the_url_come_before_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_PWD", "secret")
    assert MySQL("mysql+pymysql://me@host/db").connect_with()["password"] == "secret"
    assert "password" not in MySQL("mysql+pymysql://me:own@host/db").connect_with()
    assert "read_timeout" not in MySQL("mysql+pymysql://me@host/db?read_timeout=5").connect_with()


def test_transactions_that_wait_for_each_other_are_done_again(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    left = [1213, 1205]

    def use() -> str:
        if left:
            raise OperationalError("", {}, Exception(left.pop(), "try restarting transaction"))
        return "done"

    assert Patience(database, pytest.fail)(use) == "done"


@pytest.mark.parametrize("url", ["mysql://host/db", "mariadb+pymysql://host/db"])
def test_how_the_url_begins_is_told(url: str) -> None:
    with pytest.raises(RankfrontError, match=r"begin (the URL )?with mysql\+pymysql://"):
        check_url(url)
