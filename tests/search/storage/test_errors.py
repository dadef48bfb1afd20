"""A database URL's secrets stay out of whatever is said."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from rankfront import RankfrontError, Result
from rankfront.search.storage.database import check_url
from rankfront.search.storage.errors import shown_url

SECRET = "pa55"

URLS = [
    f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/db",
    f"postgresql+psycopg://me@127.0.0.1:1/db?password={SECRET}",
    f"postgresql+psycopg://127.0.0.1:1/db?user=me&password={SECRET}&sslpassword={SECRET}",
    f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/db?no_such_option={SECRET}",
    f"postgresql+psycopg://me:a@{SECRET}@127.0.0.1:1/db",  # an @ that is not written as %40
    f"postgresql+psycopg://me:/{SECRET}@127.0.0.1:1/db",
    f"postgresql+psycopg://me:{SECRET}@127.0.0.1:port/db",
    f"postgresql+psycopg://me:{SECRET}",
    f"postgresql+psycopg//me:{SECRET}@127.0.0.1/db",
    f"postgresql+no_such_driver://me:{SECRET}@127.0.0.1/db",
    f"mysql+pymysql://me:{SECRET}@127.0.0.1:1/db",
    f"mysql+pymysql://me@127.0.0.1:1/db?passwd={SECRET}",
    f"mysql+pymysql://me@127.0.0.1:1/db?no_such_option={SECRET}",
    f"mysql+pymysql://me@127.0.0.1:1/db?connect_timeout={SECRET}",
    f"no_such_database://me:{SECRET}@127.0.0.1/db",
    f"://me:{SECRET}@127.0.0.1/db",
    f"host=127.0.0.1 user=me password={SECRET}",
    f"me:{SECRET}@127.0.0.1",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("use", [check_url, lambda url: Result.open(".", url)], ids=["check", "open"])
def test_no_error_says_the_password(
    url: str, use: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert SECRET not in shown_url(url)
    try:
        use(url)
    except RankfrontError as error:
        assert SECRET not in "".join(traceback.format_exception(error))  # what --debug shows, causes included
    else:
        assert use is check_url, "nothing answers at these addresses"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("me:pa55@host", "storage must be a database URL such as sqlite:///study.db, but got 'me…'"),
        ("postgresql://me:a@b@host/db", "storage must write an @ of its password as %40"),
        ("study.db", "storage must be a database URL such as sqlite:///study.db, but got 'study.db'"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused(url: str, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        check_url(url)
