"""Files and databases that are damaged, locked, full or read-only."""

import ctypes
import itertools
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from rankfront import RankfrontError, Result
from rankfront.objectives.io.checkpoint import Checkpoint
from rankfront.objectives.io.tensors import read_tensors, write_tensors
from tests.faults.processes import code_of, front_of, start, study

pytestmark = pytest.mark.slow

TRIALS = 8


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that a process without any rights may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


class LimitFileSize:
    """Let no file grow beyond so many bytes, as on a file system that is full."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self) -> None:
        """Set the limit."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


CLONE_NEWNS = 0x00020000
NO_MOUNT = 77
"""Exit code of a process that may not mount anything."""


def study_on_a_small_disk(out: Path, size: str, copy: Path) -> None:
    """Run the small study on a file system of that size, then on a larger one, and copy what it leaves."""
    out.mkdir()
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", lambda flags: -1)  # Linux alone has it
    apart = unshare(CLONE_NEWNS) == 0
    for mount in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(out)]):
        if not apart or subprocess.run(["mount", *mount], check=False, capture_output=True).returncode:
            sys.exit(NO_MOUNT)
    try:
        study(out, TRIALS)
    except SystemExit as full:
        assert full.code == 2
        assert shutil.disk_usage(out).free < shutil.disk_usage(out).total / 2
    else:
        raise AssertionError("the disk was large enough")
    subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
    shutil.move(out.with_suffix(".err"), copy.with_suffix(".err"))
    study(out, TRIALS)
    shutil.copytree(out, copy)


def become_nobody() -> None:
    """Give up all rights."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


@pytest.mark.parametrize("size", [20_000, 150_000, 300_000])
def test_a_full_disk_is_reported_and_the_study_goes_on_when_there_is_room(tmp_path: Path, size: int) -> None:
    assert code_of(study, tmp_path / "whole", TRIALS) == 0
    assert code_of(study, tmp_path / "full", TRIALS, LimitFileSize(size)) == 2
    assert "cannot" in (tmp_path / "full.err").read_text() or "failed" in (tmp_path / "full.err").read_text()
    assert code_of(study, tmp_path / "full", TRIALS) == 0
    assert front_of(tmp_path / "full") == front_of(tmp_path / "whole")


@pytest.mark.parametrize("size", ["100k", "200k", "300k", "400k"])
def test_a_full_file_system_is_reported_and_the_study_goes_on_when_there_is_room(tmp_path: Path, size: str) -> None:
    code = code_of(study_on_a_small_disk, tmp_path / "disk", size, tmp_path / "full")
    if code == NO_MOUNT:
        pytest.skip("file systems cannot be mounted here")
    assert code == 0
    said = (tmp_path / "full.err").read_text()
    assert "No space left" in said or "disk is full" in said
    assert code_of(study, tmp_path / "whole", TRIALS) == 0
    assert front_of(tmp_path / "full") == front_of(tmp_path / "whole")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up rights")
def test_a_read_only_folder_is_reported(public: Path) -> None:
    assert code_of(study, public / "out", 2) == 0
    assert code_of(study, public / "out", TRIALS, become_nobody) == 2
    said = (public / "out.err").read_text()
    assert "cannot be written" in said or "cannot write" in said or "that can be written" in said
    assert code_of(study, public / "out", TRIALS) == 0


def test_a_database_locked_for_a_minute_is_waited_for(tmp_path: Path) -> None:
    assert code_of(study, tmp_path / "out", 2) == 0
    with sqlite3.connect(tmp_path / "out" / "study.db", isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        process = start(study, tmp_path / "out", 4)
        process.join(60)  # it has met the lock by then; if it has not, the test proves less but does not fail
        assert process.exitcode is None
        database.execute("COMMIT")
    process.join(120)
    assert process.exitcode == 0 and len(Result.open(tmp_path / "out").trials) == 4


def cut(path: Path) -> None:
    """Leave half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    """Overwrite the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 2] = os.urandom(len(content) // 2 - len(content) // 4)
    path.write_bytes(content)


def overwrite(path: Path) -> None:
    """Put something else in a file's place."""
    path.write_text("something else")


@pytest.mark.parametrize("damage", [cut, garble, overwrite])
def test_a_damaged_database_is_refused_in_one_line(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    assert code_of(study, tmp_path / "out", 4) == 0
    for path in (tmp_path / "out").glob("study.db-*"):
        path.unlink()
    damage(tmp_path / "out" / "study.db")
    assert code_of(study, tmp_path / "out", TRIALS) == 2
    said = (tmp_path / "out.err").read_text()
    assert "study.db" in said and "\n" not in said


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    """Every file damaged in another way."""
    assert code_of(study, tmp_path / "whole", TRIALS) == 0
    assert code_of(study, tmp_path / "out", 3) == 0
    files = sorted((tmp_path / "out" / "cache").iterdir())
    assert len(files) >= 3
    for path, damage in zip(files, itertools.cycle([cut, garble, overwrite]), strict=False):
        damage(path)
    assert code_of(study, tmp_path / "out", TRIALS) == 0
    assert front_of(tmp_path / "out") == front_of(tmp_path / "whole")


@pytest.mark.parametrize("damage", [cut, garble, overwrite])
def test_damaged_weights_are_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    assert code_of(study, tmp_path / "out", 4) == 0
    for path in (tmp_path / "out" / "models").iterdir():
        damage(path)
    with pytest.raises(RankfrontError, match="must be those that were scored"):
        Result.open(tmp_path / "out").export(tmp_path / "x.safetensors")


@pytest.mark.parametrize("damage", [cut, garble, overwrite])
def test_a_damaged_checkpoint_is_begun_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    model = torch.nn.Linear(40, 40)
    checkpoint = Checkpoint(tmp_path / "c.safetensors", "key")
    checkpoint.save(3, model, None)
    assert checkpoint.load(model)[0] == 3
    damage(tmp_path / "c.safetensors")
    assert checkpoint.load(model)[0] == 0


@pytest.mark.parametrize("damage", [cut, garble, overwrite])
def test_damaged_tensors_are_never_read(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"a": torch.arange(1000.0)}, {})
    damage(path)
    with pytest.raises(RankfrontError, match="must be a whole safetensors file"):
        read_tensors(path)
