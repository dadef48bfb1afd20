"""Files under a URL: whole or not there, uploaded and fetched once; in memory, in a folder, on an S3 server."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from rankfront import RankfrontError
from rankfront.objectives.io.files import PART, digest
from rankfront.search.storage.remote_files import PAUSES_S, RemoteFiles, check_files, shown_files


@pytest.fixture(params=["memory", "file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty folder."""
    if request.param == "s3":
        return request.getfixturevalue("s3")
    return f"memory://{tmp_path}" if request.param == "memory" else f"file://{tmp_path / 'remote'}"


def test_a_file_comes_back_as_it_was(url: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights" * 10_000)
    files = RemoteFiles(url, "blobs")
    assert files.names("weights") == set()
    files.push(tmp_path / "a", "weights/1")
    other = RemoteFiles(url, "blobs")
    assert other.names("weights") == {"weights/1"} and RemoteFiles(url, "others").names("weights") == set()
    other.fetch("weights/1", tmp_path / "b", digest(tmp_path / "a"))
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    files.push(tmp_path / "a", "front.csv")
    (tmp_path / "a").write_text("new")
    files.push(tmp_path / "a", "front.csv", again=True)
    other.fetch("front.csv", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "new"
    files.remove("weights/1")
    files.remove("weights/1")
    assert other.names("weights") == set()


def test_what_is_there_is_neither_uploaded_nor_fetched_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("first")
    files = RemoteFiles(url, "blobs")
    files.push(tmp_path / "a", "weights/1")
    for name in ("put_file", "get_file"):
        monkeypatch.setattr(files._fs, name, lambda *_: pytest.fail("it is there"))
    files.push(tmp_path / "a", "weights/1")
    files.fetch("weights/1", tmp_path / "a")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


FAILING = pytest.mark.parametrize(
    ("scheme", "system"), [("memory", MemoryFileSystem), ("file", LocalFileSystem)], ids=["object store", "file system"]
)
"""An object is there when it is whole; of a file, the half is left."""


def failing(monkeypatch: pytest.MonkeyPatch, system: type, fails: Callable[[int], bool]) -> None:
    """Let requests fail."""
    requests = depth = 0
    for name in ("put_file", "get_file", "exists", "find", "mv", "rm_file", "makedirs"):
        original = getattr(system, name)

        @functools.wraps(original)
        def request(self: Any, *args: Any, original: Any = original, **kwargs: Any) -> Any:
            nonlocal requests, depth
            if depth == 0:
                requests += 1
                if fails(requests):
                    if original.__name__ == "get_file" or (
                        original.__name__ == "put_file" and system is LocalFileSystem
                    ):
                        Path(args[1]).write_bytes(b"half")
                    raise ConnectionError("lost me:secret@memory")
            depth += 1
            try:
                return original(self, *args, **kwargs)
            finally:
                depth -= 1

        monkeypatch.setattr(system, name, request)


@FAILING
def test_a_store_that_fails_every_third_request_loses_nothing(
    scheme: str, system: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    files = RemoteFiles(f"{scheme}://{tmp_path / 'remote'}", "blobs")
    failing(monkeypatch, system, lambda request: request % 3 == 0)
    for number in range(20):
        (tmp_path / f"{number}").write_text(f"weights {number}")
        files.push(tmp_path / f"{number}", f"weights/{number}")
    assert files.names("weights") == {f"weights/{number}" for number in range(20)}
    for number in range(20):
        files.fetch(f"weights/{number}", tmp_path / "back" / f"{number}", digest(tmp_path / f"{number}"))
    assert pauses and {*pauses} == {PAUSES_S[0]}


@FAILING
def test_a_store_that_is_gone_is_told_and_leaves_nothing_half(
    scheme: str, system: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    (tmp_path / "a").write_text("whole")
    files = RemoteFiles(f"{scheme}://{tmp_path / 'remote'}?key=secret", "blobs")
    files.push(tmp_path / "a", "weights/1")
    for use in (
        lambda: files.push(tmp_path / "a", "weights/2"),
        lambda: files.push(tmp_path / "a", "weights/1", again=True),
        lambda: files.fetch("weights/1", tmp_path / "b"),
        lambda: files.names("weights"),
    ):
        with monkeypatch.context() as patched:
            failing(patched, system, lambda _: True)
            with pytest.raises(RankfrontError, match="cannot be used: ConnectionError: lost") as told:
                use()
        assert "secret" not in str(told.value) and told.value.__cause__ is None
    assert files.names("weights") == {"weights/1"} and not (tmp_path / "b").exists()
    files.fetch("weights/1", tmp_path / "c", digest(tmp_path / "a"))
    assert not list(tmp_path.glob(f".*{PART}")) and {*pauses} == {*PAUSES_S}


def test_another_file_than_the_one_stored_is_refused(tmp_path: Path, pauses: list[float]) -> None:
    files = RemoteFiles(f"memory://{tmp_path}", "blobs")
    (tmp_path / "a").write_text("weights")
    known = digest(tmp_path / "a")
    (tmp_path / "a").write_text("others")
    files.push(tmp_path / "a", "weights/1")
    with pytest.raises(RankfrontError, match="must be the file that was stored, but has changed"):
        files.fetch("weights/1", tmp_path / "b", known)
    with pytest.raises(RankfrontError, match="cannot be used: FileNotFoundError"):
        files.fetch("weights/2", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("bucket/folder", "files must be a URL such as s3://bucket/folder, but got 'bucket/folder'"),
        ("nope://me:secret@host", "files must be a URL of a file system that fsspec knows, but got 'nope://host'"),
        ("memory://me:secret@[host", "files must be a URL such as s3://bucket/folder, but got 'memory://…'"),
        ("dropbox://me:secret@host", "files dropbox://host needs a package that is not installed"),
    ],
)
def test_a_url_that_cannot_be_is_told(url: str, said: str) -> None:
    with pytest.raises(RankfrontError, match=said) as told:
        check_files(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    "url", ["sftp://me:se/cret@host/x", "sftp://me:secret@[host/x", "s3://secret@bucket?key=secret"]
)
def test_no_secret_is_shown(url: str) -> None:
    assert "secret" not in shown_files(url) and "cret" not in shown_files(url)
