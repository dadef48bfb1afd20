"""A study's files under a URL, for machines without a common folder: s3://, gs:// and whatever else fsspec opens.

Each file is there as a whole or not at all: where the file system can rename, it is uploaded under another name first;
an object store shows an object only when it is whole. A name says what is in the file (a hash), so a file that is there
is not uploaded again, and fetched once by each machine.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from ...objectives.boundary import sentence
from ...objectives.errors import RankfrontError
from ...objectives.io.files import PART, digest, write_whole
from .folder import folder_name

T = TypeVar("T")

PAUSES_S = (0.1, 0.4, 1.6, 6.4)
"""Between the tries of a request that fails."""


def check_files(url: str) -> None:
    """Refuse, before anything is written, a URL of no file system, or of one whose package is missing."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:  # brackets that are no address
        scheme = ""
    if not scheme or "://" not in url:
        raise RankfrontError(f"files must be a URL such as s3://bucket/folder, but got {shown_files(url)!r:.80}")
    try:
        import fsspec
    except ImportError:
        raise RankfrontError("files needs fsspec: pip install 'rankfront[files]'") from None
    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError:
        raise RankfrontError(
            f"files must be a URL of a file system that fsspec knows, but got {shown_files(url)!r:.80}"
        ) from None
    except ImportError as error:
        raise RankfrontError(f"files {shown_files(url)} needs a package that is not installed: {error}") from None


def shown_files(url: str) -> str:
    """Return the URL without its user, its password and its options.

    >>> shown_files("sftp://me:secret@host/folder?key=secret"), shown_files("s3://bucket/folder")
    ('sftp://host/folder', 's3://bucket/folder')
    """
    try:
        scheme, place, path, _, _ = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://…" if "://" in url else "…"
    where = f"{place.rpartition('@')[2]}{path.rpartition('@')[2]}"  # a password may hold a slash
    return f"{scheme}://{where}" if scheme else where


class RemoteFiles:
    """The files of one study under a URL.

    Args:
        url: a folder's, as fsspec reads it.
        study: the study's name; the files of another one are in another folder there.
    """

    def __init__(self, url: str, study: str) -> None:
        import fsspec

        self._fs: Any
        self._where = shown_files(url)
        parts = urlsplit(url)
        self._secrets = [url, *filter(None, [parts.password, *(value for _, value in parse_qsl(parts.query))])]
        self._fs, root = self._patiently(lambda: fsspec.url_to_fs(url))
        # Without a method of its own, a file would be copied and the first one deleted.
        self._renames = type(self._fs).mv is not fsspec.AbstractFileSystem.mv
        self._root = f"{root.rstrip('/')}/{folder_name(study)}"

    def push(self, path: Path, name: str, *, again: bool = False) -> None:
        """Upload a file.

        Args:
            path: where it lies.
            name: its path under the URL.
            again: whether one of that name is replaced; else it is taken for the same.

        Raises:
            RankfrontError: the store fails again and again.
        """
        there = f"{self._root}/{name}"
        passing = f"{there}.{secrets.token_hex(6)}{PART}" if self._renames else there
        if again or not self._patiently(lambda: self._fs.exists(there)):
            self._patiently(lambda: self._fs.makedirs(there.rpartition("/")[0], exist_ok=True))
            self._patiently(lambda: self._fs.put_file(str(path), passing))
            if self._renames:
                self._patiently(lambda: self._fs.mv(passing, there))

    def fetch(self, name: str, path: Path, sha256: str | None = None) -> None:
        """Download a file, whole or not at all, where there is none yet.

        Args:
            name: its path under the URL.
            path: where it shall lie.
            sha256: its digest, where it is known.

        Raises:
            RankfrontError: it is not there, or another one is; the store fails again and again.
        """

        def get(temporary: Path) -> None:
            self._patiently(lambda: self._fs.get_file(f"{self._root}/{name}", str(temporary)))
            if sha256 is not None and digest(temporary) != sha256:
                raise RankfrontError(f"{name} under {self._where} must be the file that was stored, but has changed")

        if not path.exists():
            write_whole(path, get)

    def names(self, folder: str) -> set[str]:
        """Return the paths, under the URL, of the files in a folder there."""

        def find() -> list[str]:
            self._fs.invalidate_cache()
            return self._fs.find(f"{self._root}/{folder}")

        found = (str(path) for path in self._patiently(find))
        return {path[path.index(self._root) + len(self._root) + 1 :] for path in found if not path.endswith(PART)}

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        there = f"{self._root}/{name}"

        def remove() -> None:
            if self._fs.exists(there):
                self._fs.rm_file(there)

        self._patiently(remove)

    def _patiently(self, request: Callable[[], T]) -> T:
        """Return what a request returns; where it fails, it is tried again after pauses."""
        for pause_s in PAUSES_S:
            try:
                return request()
            except Exception:  # every store has exceptions of its own
                time.sleep(pause_s)
        try:
            return request()
        except Exception as error:
            raise RankfrontError(f"files {self._where} cannot be used: {self._told(error)}") from None

    def _told(self, error: Exception) -> str:
        said = sentence(error)
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said
