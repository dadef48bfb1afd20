"""A database's server that ends sessions, stops and comes back."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import _cached_storage
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from rankfront import RankfrontError
from rankfront.search.storage import mysql, postgres
from rankfront.search.storage import patience as patience_module
from rankfront.search.storage.database import open_storage
from rankfront.search.storage.errors import LockLost, storage_errors
from rankfront.search.storage.patience import DatabaseAway, Patience
from rankfront.search.storage.patient_storage import OPERATIONS
from rankfront.search.storage.server import Server, server_of
from rankfront.search.storage.server_locks import ServerLocks
from rankfront.search.storage.session import Session
from tests.conftest import on_all_servers
from tests.mysql import MySQLServer
from tests.postgres import PASSWORD
from tests.postgres import Server as PostgresServer

AServer = PostgresServer | MySQLServer


@pytest.fixture
def end_sessions(server: AServer, database: str) -> Callable[[], None]:
    return lambda: server.end_sessions(database)


@pytest.fixture
def stopping(server: AServer, database: str) -> tuple[Patience, list[str]]:
    """Patience that starts the server again when it is told that it is away; and what it was told."""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "is away" in line:
            server.start()

    return Patience(database, say), said


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and Optuna's: it waits for up to two seconds before it tries to create a trial again."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def server_at(url: str) -> Server:
    server = server_of(url)
    assert server is not None
    return server


def locks(url: str, study: str = "blobs", patience: Patience | None = None) -> ServerLocks:
    return ServerLocks(url, server_at(url), study, patience or Patience(url))


def session_of(url: str, say: Callable[[str], object] = lambda line: None) -> Session:
    return Session(url, server_at(url), Patience(url, say))


@on_all_servers
def test_a_lock_that_was_lost_says_so_at_its_end(database: str, end_sessions: Callable[[], None]) -> None:
    mine = locks(database)
    for lock in (mine.study, mine.test, lambda: mine.finishing("all")):
        with pytest.raises(LockLost), lock():
            end_sessions()
            with locks(database).study(), locks(database).test(), locks(database).finishing("all"):
                pass
        with lock():
            pass


@on_all_servers
def test_a_lock_that_was_lost_does_not_hide_what_was_raised(database: str, end_sessions: Callable[[], None]) -> None:
    with pytest.raises(ZeroDivisionError), locks(database).study():
        end_sessions()
        raise ZeroDivisionError


@on_all_servers
def test_a_lock_is_not_taken_for_held_after_a_new_connection(database: str, end_sessions: Callable[[], None]) -> None:
    mine = locks(database)
    with pytest.raises(LockLost), mine.study():
        end_sessions()
        assert mine.remove_dead() == 0  # connects again


@on_all_servers
def test_releasing_says_that_the_lock_was_lost(database: str, end_sessions: Callable[[], None]) -> None:
    mine = locks(database)
    with pytest.raises(LockLost), mine.study():
        end_sessions()
        with mine.released():
            pytest.fail("what was claimed before may have been claimed by another, too")
    with mine.study():
        pass


@on_all_servers
def test_a_worker_takes_its_liveness_lock_again(database: str, end_sessions: Callable[[], None]) -> None:
    mine, other = locks(database), locks(database)
    with mine.living("me"):
        end_sessions()
        assert other.alive(["me"]) == set()
        with mine.study():
            assert other.alive(["me"]) == {"me"} and other.remove_dead() == 1
    assert other.alive(["me"]) == set()


@on_all_servers
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_locks_wait_for_a_server_that_is_away(
    server: AServer, stopping: tuple[Patience, list[str]], database: str, mode: str
) -> None:
    patience, said = stopping
    mine = locks(database, patience=patience)
    with mine.living("me"):
        server.stop(mode)
        with mine.study():
            assert locks(database).alive(["me"]) == {"me"}
    away, back = said
    assert "is away, waiting for it" in away and back.endswith("is back")


@on_all_servers
def test_studies_of_one_database_have_their_own_locks(database: str) -> None:
    with locks(database).study(), locks(database, "others").study(), locks(database, "others").living("me"):
        assert locks(database).alive(["me"]) == set() and locks(database).remove_dead() == 0
        assert locks(database, "others").alive(["me"]) == {"me"}


@on_all_servers
def test_a_lock_that_is_not_let_go_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres.SETTINGS, "lock_timeout", "1ms")
    monkeypatch.setattr(mysql, "ROUNDS_S", (0, 0))
    said = "study 'blobs' is held by another worker for 600 s: is it stopped?"
    with locks(database).study(), pytest.raises(RankfrontError, match=re.escape(said)), locks(database).study():
        pass


@on_all_servers
def test_a_pooler_that_changes_sessions_is_refused(database: str) -> None:
    session = session_of(database)
    with pytest.raises(RankfrontError, match="must keep a connection's session"), session.hold("mine"):
        assert session._connection is not None
        server_at(database).give(session._connection, "mine")  # as in another session


@on_all_servers
def test_a_study_has_a_seat_for_every_worker(database: str) -> None:
    seats = ["first", "second"]
    with session_of(database).keep("me", seats), session_of(database).keep("you", seats):
        assert session_of(database).held([*seats, "third"]) == set(seats)
        said = "must have at most 2 workers at once"
        with pytest.raises(RankfrontError, match=said), session_of(database).keep("them", seats):
            pass
    with session_of(database).keep("them", seats):
        assert session_of(database).held(seats) == {"first"}


@on_all_servers
@pytest.mark.usefixtures("no_pauses")
def test_a_storage_waits_for_a_server_that_is_away(
    server: AServer, stopping: tuple[Patience, list[str]], database: str
) -> None:
    patience, said = stopping
    study = optuna.create_study(storage=open_storage(database, patience))
    trial = study.ask()
    for step in (
        lambda: trial.set_user_attr("slot", 0),
        lambda: trial.suggest_int("rank", 1, 9),
        lambda: study.get_trials(deepcopy=False),
        lambda: study.set_user_attr("trials", 1),
        lambda: study.tell(trial, 1.0),
        study.ask,
    ):
        said.clear()
        server.stop("immediate")
        step()
        assert [line.endswith("is back") for line in said] == [False, True]
    complete, running = study.get_trials()
    assert (complete.value, complete.user_attrs, set(complete.params)) == (1.0, {"slot": 0}, {"rank"})
    assert running.state == TrialState.RUNNING


@on_all_servers
@pytest.mark.usefixtures("no_pauses")
def test_an_operation_waits_wherever_its_session_ends(
    end_sessions: Callable[[], None], database: str, caplog: pytest.LogCaptureFixture
) -> None:
    study = optuna.create_study(storage=open_storage(database))
    statements, at = 0, 0

    def end(*_: object) -> None:
        nonlocal statements
        if statements == at:
            end_sessions()
        statements += 1

    backend = study._storage._backend  # pyright: ignore[reportAttributeAccessIssue]
    event.listen(backend.engine, "before_cursor_execute", end)
    event.listen(backend.engine, "commit", end)
    for step in (
        lambda: study.ask().set_user_attr("slot", 0),
        lambda: study.get_trials(deepcopy=False),
        lambda: study.set_user_attr("trials", 1),
        lambda: study.user_attrs,
        lambda: study.ask().suggest_int("rank", 1, 9),
        lambda: study.tell(study.ask(), 1.0),
    ):
        at = statements = 0
        while statements >= at:  # the session did end
            statements, at = 0, at + 1
            step()
        assert at > 1
    running = study.get_trials(states=[TrialState.RUNNING])
    assert {t.user_attrs.get("slot") for t in running} == {0, None}
    assert all(t.value == 1.0 for t in study.get_trials(states=[TrialState.COMPLETE]))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING], (
        "Optuna's own are of many lines"
    )


@on_all_servers
def test_an_end_that_was_stored_twice_is_refused(database: str) -> None:
    """Whoever ends a trial has to look whether it was he himself: see `TrialLoop._tell`."""
    study = optuna.create_study(storage=open_storage(database))
    trial = study.ask()
    study.tell(trial, 1.0)
    with pytest.raises(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])


def test_every_operation_of_optunas_cache_waits() -> None:
    called = set(re.findall(r"self\._backend\.(\w+)", inspect.getsource(_cached_storage)))
    assert called - set(OPERATIONS) == {
        "record_heartbeat",
        "_get_stale_trial_ids",
        "get_heartbeat_interval",
        "get_heartbeat_stale_trial_callback",
    }


@on_all_servers
def test_a_server_that_stays_away_is_given_up(server: AServer, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "LIMIT_S", 0.05)
    monkeypatch.setattr(patience_module, "FIRST_PAUSE_S", 0.01)
    said: list[str] = []
    study = optuna.create_study(storage=open_storage(database, Patience(database, said.append)))
    server.stop()
    try:
        with pytest.raises(DatabaseAway, match="does not answer: ") as caught:
            study.set_user_attr("trials", 1)
        with pytest.raises(DatabaseAway):  # without any wait
            study.set_user_attr("trials", 1)
    finally:
        server.start()
    assert len(said) == 1 and PASSWORD not in said[0] + str(caught.value)


@on_all_servers
def test_a_database_that_is_away_for_half_a_minute_is_tried_seldom(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)

    def use() -> str:
        if sum(pauses) < 30:
            raise OperationalError("", {}, OSError("refused"))
        return "found"

    assert Patience(database, said.append)(use) == "found"
    assert 5 < len(pauses) < 15 and pauses == sorted(pauses)
    assert [line.endswith("is back") for line in said] == [False, True]


@on_all_servers
def test_whoever_stops_the_waiting_waits_no_more(database: str) -> None:
    def away() -> None:
        raise OperationalError("", {}, OSError("refused"))

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    patience = Patience(database, stop)
    with pytest.raises(KeyboardInterrupt):
        patience(away)
    with pytest.raises(DatabaseAway):
        patience(away)


@on_all_servers
def test_the_first_connection_is_not_waited_for(server: AServer, database: str) -> None:
    server.stop()
    try:
        for use in (lambda: open_storage(database), lambda: locks(database).remove_dead()):
            with pytest.raises(RankfrontError, match="failed: ") as caught, storage_errors(database):
                use()
            assert PASSWORD not in str(caught.value) and "\n" not in str(caught.value)
    finally:
        server.start()


@on_all_servers
def test_other_errors_are_not_waited_for(database: str) -> None:
    session = session_of(database, pytest.fail)
    with session.keep("mine", ["seat"]), pytest.raises(SQLAlchemyError):
        session._do(lambda connection: connection.exec_driver_sql("SELECT nothing"))
